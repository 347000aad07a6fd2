"""MiniStack, with the kinds of resources that it lacks: they are there, and do nothing."""

from ministack.app import main
from ministack.services.cloudformation import provisioners

handlers = provisioners._RESOURCE_HANDLERS

for kind in (
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::VPCCidrBlock",
):
    handlers[kind] = {
        "create": lambda logical_id, props, stack_name: (f"{stack_name}-{logical_id}", {}),
        "update": lambda physical_id, old, new, stack_name: (physical_id, {}),
        "delete": lambda physical_id, props: None,
    }

make_vpc = handlers["AWS::EC2::VPC"]["create"]


def make_dual_stack_vpc(logical_id, props, stack_name):
    physical_id, attributes = make_vpc(logical_id, props, stack_name)
    return physical_id, {**attributes, "Ipv6CidrBlocks": ["2600:1f14:abc:de00::/56"]}


handlers["AWS::EC2::VPC"]["create"] = make_dual_stack_vpc

main()
