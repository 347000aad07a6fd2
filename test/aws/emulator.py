"""MiniStack, with the kinds of resources that it lacks: they are there, and do nothing.

Writes down what is asked of it by a role, one line of JSON a request, into the file that CALLS_FILE names: who, the
action, the resource, and what conditions may look at. MiniStack itself gives every function and task the rights of the
account; here each has a key of its own, by which it is known.
"""

import hashlib
import json
import os
import threading

from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import ecs, eventbridge, imds, lambda_svc, s3
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

calls = open(os.environ["CALLS_FILE"], "a", buffering=1)
lock = threading.Lock()
role_of_key = {}
role_of_credentials = {}


account = "arn:aws:{}:eu-central-1:000000000000:{}".format


def record(by, action, on, context=None):
    with lock:
        calls.write(json.dumps({"by": by, "action": action, "on": on, "context": context or {}}) + "\n")


def record_log(role, group):
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        record(role, action, account("logs", f"log-group:{group}:log-stream:any"))


def key_of(role):
    key = f"ASIA{hashlib.sha256(role.encode()).hexdigest()[:16].upper()}"
    role_of_key[key] = role
    return key


# A function has its role's key. Lambda writes its log in the role's name, and says there where it failed.
credentials_of_account = lambda_runtime.execution_credentials


def credentials_of_function(config):
    role = config["Role"]
    group = config.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    record_log(role, group)
    return {**credentials_of_account(config), "AWS_ACCESS_KEY_ID": key_of(role)}


lambda_runtime.execution_credentials = credentials_of_function
lambda_svc.execution_credentials = credentials_of_function

# A task has its role's key. What ECS reads and writes to start it is done in the name of another role.
register_metadata = ecs._register_metadata


def register_task(task_arn, cluster_arn, definition, container, launch_type, env, *more):
    token = register_metadata(task_arn, cluster_arn, definition, container, launch_type, env, *more)
    role_of_credentials[env["AWS_CONTAINER_CREDENTIALS_FULL_URI"].rsplit("/", 1)[1]] = definition["taskRoleArn"]
    execution_role = definition["executionRoleArn"]
    for secret in container.get("secrets", []):
        record(execution_role, "secretsmanager:GetSecretValue", ":".join(secret["valueFrom"].split(":")[:7]))
    record_log(execution_role, container["logConfiguration"]["options"]["awslogs-group"])
    return token


ecs._register_metadata = register_task
answer_metadata = imds.handle_request


async def answer_credentials(method, path, headers, body, query):
    status, answered, text = await answer_metadata(method, path, headers, body, query)
    role = role_of_credentials.get(path.rsplit("/", 1)[-1])
    if role is not None:
        text = json.dumps({**json.loads(text), "AccessKeyId": key_of(role), "RoleArn": role}).encode()
    return status, answered, text


imds.handle_request = answer_credentials

# A link that a role's key has signed is signed by the account's secret, which all of them have.
resolve_credential = s3.resolve_credential
s3.resolve_credential = lambda key, *more: resolve_credential("test" if key in role_of_key else key, *more)

# Rules and schedules call functions: a schedule by its role, a rule as a service of AWS.
invoke_target = eventbridge._invoke_target


def record_target(target, event, rule, *more, **named):
    if ":lambda:" in target.get("Arn", ""):
        role = target.get("RoleArn")
        context = {} if role else {"aws:SourceArn": rule["Name"]}
        record(role or "events.amazonaws.com", "lambda:InvokeFunction", target["Arn"], context)
    return invoke_target(target, event, rule, *more, **named)


eventbridge._invoke_target = record_target


def s3_context(action, headers, query):
    """Of the requests that s3:PutObject allows, beginning an upload and sending a part are about no object yet."""
    if action != "s3:PutObject":
        return {"s3:prefix": query["prefix"][0]} if "prefix" in query else {}
    makes_an_object = "uploads" not in query and "partNumber" not in query
    context = {"s3:ObjectCreationOperation": "true" if makes_an_object else "false"}
    if "if-none-match" in headers:
        context["s3:if-none-match"] = headers["if-none-match"]
    return context


dispatch = app._dispatch_service_request


async def record_request(method, path, headers, body, query, *more):
    role = role_of_key.get(app.extract_access_key_id(headers, query))
    if role is not None:
        params = app._routing_params(method, path, headers, body, query)
        service = app.detect_service(method, path, headers, params)
        region = app.extract_region(headers)
        action = iam_actions.extract_iam_action(service, method, path, headers, body, params)
        on = iam_actions.extract_resource_arn(
            service, method, path, headers, body, params, region, "000000000000"
        )
        context = {}
        if service == "s3":
            context = s3_context(action, headers, query)
        if service == "ecs":
            # MiniStack looks at the cluster alone.
            asked = json.loads(body)
            context = {"ecs:cluster": account("ecs", f"cluster/{asked['cluster']}")}
            on = "*"
            if "taskDefinition" in asked:
                on = account("ecs", f"task-definition/{asked['taskDefinition']}:1")
            elif "task" in asked or "tasks" in asked:
                on = account("ecs", f"task/{asked['cluster']}/any")
        record(role, action or f"{service} {method} {path}", on, context)
    return await dispatch(method, path, headers, body, query, *more)


app._dispatch_service_request = record_request

app.main()
