import { Stack, Token } from "aws-cdk-lib"
import {
  CfnSecurityGroupIngress,
  type CfnSubnet,
  CfnVPCEndpoint,
  Connections,
  GatewayVpcEndpointAwsService,
  type IConnectable,
  IpProtocol,
  type ISecurityGroup,
  type IVpc,
  Peer,
  Port,
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
  /** Whether `vpc` gets the endpoints that tasks need where nothing else leads to AWS. @default false */
  readonly endpoints?: boolean
  /** Security groups of databases that let the tasks in from now on. @default none */
  readonly letInto?: readonly { readonly securityGroupId: string; readonly port: number }[]
}

/** What tasks ask of AWS beside S3: ECS pulls the image, writes their log and reads secrets in their network. */
export const endpointServices = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "events"] as const

/** The context that names the region, where it is known though the stack is for any. */
export const regionContext = "pgstow:region"

/**
 * Two of the zones that have Fargate where not all have it, by their ids.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AWS_Fargate-Regions.html
 */
const zonesWithFargate: Readonly<Record<string, readonly [string, string]>> = {
  "us-west-1": ["usw1-az1", "usw1-az3"],
  "ap-northeast-1": ["apne1-az1", "apne1-az4"],
  "cn-north-1": ["cnn1-az1", "cnn1-az2"],
}

/**
 * The same for ARM64, which us-east-1 has in all zones but use1-az3.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-arm64.html
 */
const zonesWithArm: typeof zonesWithFargate = {
  ...zonesWithFargate,
  "us-east-1": ["use1-az4", "use1-az6"],
}

/** The region that a template is deployed to, where that is known at synth. */
export function knownRegion(scope: Construct): string | undefined {
  const { region } = Stack.of(scope)
  const known: unknown = Token.isUnresolved(region) ? scope.node.tryGetContext(regionContext) : region
  return typeof known === "string" ? known : undefined
}

export class BackupNetwork extends Construct implements IConnectable {
  readonly vpc: IVpc
  readonly subnetIds: readonly string[]
  readonly securityGroupIds: readonly string[]
  readonly publicIp: boolean
  readonly connections: Connections

  /** @param architecture what the tasks run on, which not every zone has */
  constructor(
    scope: Construct,
    id: string,
    architecture: "arm64" | "x86_64",
    props: BackupNetworkProps = {},
  ) {
    super(scope, id)
    this.vpc = props.vpc ?? this.smallVpc(architecture === "arm64" ? zonesWithArm : zonesWithFargate)
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
    this.connections = new Connections({ securityGroups: [...groups] })
    if (props.routeTableIds !== undefined && props.routeTableIds.length > 0)
      new CfnVPCEndpoint(this, "S3", {
        vpcId: this.vpc.vpcId,
        vpcEndpointType: "Gateway",
        serviceName: `com.amazonaws.${Stack.of(this).region}.s3`,
        routeTableIds: [...props.routeTableIds],
      })
    if (props.endpoints === true) this.makeEndpoints()
    for (const { securityGroupId, port } of props.letInto ?? [])
      for (const [index, source] of this.securityGroupIds.entries())
        new CfnSecurityGroupIngress(this, `Into ${securityGroupId} ${port} ${index}`, {
          groupId: securityGroupId,
          sourceSecurityGroupId: source,
          ipProtocol: "tcp",
          fromPort: port,
          toPort: port,
          description: "pgstow tasks",
        })
  }

  private makeEndpoints(): void {
    const group = new SecurityGroup(this, "Endpoints", {
      vpc: this.vpc,
      description: "pgstow: the endpoints that its tasks use",
      allowAllOutbound: false,
    })
    for (const tasks of this.connections.securityGroups)
      group.addIngressRule(Peer.securityGroupId(tasks.securityGroupId), Port.tcp(443), "pgstow tasks")
    for (const service of endpointServices)
      new CfnVPCEndpoint(this, `Endpoint ${service}`, {
        vpcId: this.vpc.vpcId,
        vpcEndpointType: "Interface",
        serviceName: `com.amazonaws.${Stack.of(this).region}.${service}`,
        subnetIds: [...this.subnetIds],
        securityGroupIds: [group.securityGroupId],
        privateDnsEnabled: true,
      })
  }

  private smallVpc(zonesOf: typeof zonesWithFargate): Vpc {
    const vpc = new Vpc(this, "Vpc", {
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
    // Where the region has zones without Fargate, the subnets go into others.
    const zones = zonesOf[knownRegion(this) ?? ""]
    if (zones === undefined) return vpc
    for (const [index, { node }] of vpc.publicSubnets.entries()) {
      // `defaultChild` is the CloudFormation resource of a subnet.
      const subnet = node.defaultChild as CfnSubnet
      subnet.availabilityZone = undefined
      subnet.availabilityZoneId = zones[index]
    }
    return vpc
  }
}
