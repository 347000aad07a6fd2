import { Stack } from "aws-cdk-lib"
import {
  CfnVPCEndpoint,
  GatewayVpcEndpointAwsService,
  IpProtocol,
  type ISecurityGroup,
  type IVpc,
  SecurityGroup,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2"
import { Construct } from "constructs"

/** Where tasks run. */
export type BackupNetworkProps = {
  /** @default a small network of its own: two public subnets, no NAT gateway, S3 by a gateway endpoint */
  readonly vpc?: IVpc
  /** The subnets, by id. @default those of the network of its own; needed with `vpc` */
  readonly subnetIds?: readonly string[]
  /** @default a new one, which may reach everything and is reached by nothing */
  readonly securityGroups?: readonly ISecurityGroup[]
  /** Whether tasks get public addresses. @default true in the network of its own, false with `vpc` */
  readonly publicIp?: boolean
  /** Route tables of `vpc` that get a gateway endpoint to S3. @default none */
  readonly routeTableIds?: readonly string[]
}

export class BackupNetwork extends Construct {
  readonly vpc: IVpc
  readonly subnetIds: readonly string[]
  readonly securityGroupIds: readonly string[]
  readonly publicIp: boolean

  constructor(scope: Construct, id: string, props: BackupNetworkProps = {}) {
    super(scope, id)
    this.vpc = props.vpc ?? this.smallVpc()
    if (props.vpc !== undefined && props.subnetIds === undefined)
      throw new TypeError("network.subnetIds must be given with network.vpc")
    this.subnetIds = props.subnetIds ?? this.vpc.publicSubnets.map(({ subnetId }) => subnetId)
    this.publicIp = props.publicIp ?? props.vpc === undefined
    const groups = props.securityGroups ?? [
      new SecurityGroup(this, "Tasks", {
        vpc: this.vpc,
        description: "pgstow tasks: out to databases and AWS, nothing in",
        allowAllIpv6Outbound: true,
      }),
    ]
    this.securityGroupIds = groups.map(({ securityGroupId }) => securityGroupId)
    if (props.routeTableIds !== undefined && props.routeTableIds.length > 0)
      new CfnVPCEndpoint(this, "S3", {
        vpcId: this.vpc.vpcId,
        vpcEndpointType: "Gateway",
        serviceName: `com.amazonaws.${Stack.of(this).region}.s3`,
        routeTableIds: [...props.routeTableIds],
      })
  }

  private smallVpc(): Vpc {
    return new Vpc(this, "Vpc", {
      maxAzs: 2,
      // Some hosted databases have IPv6 addresses only.
      ipProtocol: IpProtocol.DUAL_STACK,
      natGateways: 0,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: "tasks", subnetType: SubnetType.PUBLIC, mapPublicIpOnLaunch: false, cidrMask: 24 },
      ],
      gatewayEndpoints: { S3: { service: GatewayVpcEndpointAwsService.S3 } },
    })
  }
}
