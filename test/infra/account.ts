import { readFileSync } from "node:fs"
import { join } from "node:path"
import { runSimulation, type Simulation } from "@cloud-copilot/iam-simulate"
import * as z from "zod"
import { readableId, resourceSchema, type Synthesized } from "./synthesize.ts"

/** Who asks for what. */
export type Request = {
  /** A role of the template, by a pattern for its logical id, or a service of AWS's, by its name. */
  readonly by: RegExp | string
  readonly action: string
  /** The ARN of what it is asked of; "*" for actions that know no resource. */
  readonly on: string
  /** What AWS knows of the request beside that. A request comes by TLS 1.3, unless it says otherwise. */
  readonly context?: Readonly<Record<string, string>>
}

export const accountId = "111122223333"
export const region = "eu-central-1"

/**
 * The account as it is once the template is deployed: who may do what by the policies of roles, bucket, key, topic,
 * queue, bus and functions together. Permissions that AWS gives by itself to nobody are not there.
 */
export type Account = {
  /** Its twelve digits. */
  readonly id: string
  /** The policy that a resource has itself, by its ARN. */
  readonly policyOf: (arn: string) => object | undefined
  /** The value of an expression of the template: a reference is the name or ARN that CloudFormation would give it. */
  value(expression: unknown): string
  /** A text with <LogicalId> and <LogicalId.Arn> in it, without the hash, with the values of these. */
  named(text: string): string
  /** The ARNs of the roles that the tasks of a family run by, and that ECS starts them by. */
  rolesOfTask(family: string): string[]
  /** The ARN of the one resource of a type whose logical id matches. */
  arn(type: string, id?: RegExp): string
  /** Rejects where the request itself makes no sense: an action, a resource or a condition that does not exist. */
  allows(request: Request): Promise<boolean>
}

const policySchema = z.looseObject({ Statement: z.array(z.looseObject({})) })

type Resources = Synthesized["resources"]

/**
 * A template of this repository, deployed to an account with these parameters.
 *
 * @param others other accounts, and what is in this one beside the template, that are asked too where something is theirs
 */
export function openTemplate(
  path: string,
  account: string,
  parameters: Readonly<Record<string, string>>,
  others: readonly Pick<Account, "id" | "policyOf">[] = [],
): Account {
  const template = z.object({ Resources: z.record(z.string(), resourceSchema) })
  const text = readFileSync(join(import.meta.dirname, "../..", path), "utf8")
  return open(
    template.parse(JSON.parse(text)).Resources,
    account,
    { "AWS::StackName": "copy", ...parameters },
    others,
  )
}

/**
 * @param others other accounts, and what is in this one beside the stack, that are asked too where something is theirs
 * @param existing names and ARNs, as `named` fills them in, of what the stack uses and did not make
 */
export function openAccount(
  { resources, stackName }: Synthesized,
  others: readonly Pick<Account, "id" | "policyOf">[] = [],
  existing: Readonly<Record<string, string>> = {},
): Account {
  return open(resources, accountId, { "AWS::StackName": stackName }, others, existing)
}

function open(
  resources: Resources,
  accountId: string,
  parameters: Readonly<Record<string, string>>,
  others: readonly Pick<Account, "id" | "policyOf">[],
  existing: Readonly<Record<string, string>> = {},
): Account {
  const pseudo: Readonly<Record<string, string>> = {
    "AWS::Partition": "aws",
    "AWS::Region": region,
    "AWS::AccountId": accountId,
    "AWS::URLSuffix": "amazonaws.com",
    ...parameters,
  }
  const arnIn = (service: string, rest: string) => `arn:aws:${service}:${region}:${accountId}:${rest}`

  const bucketName = (id: string) => `${id.toLowerCase()}-${accountId}`

  /** The physical name of a resource, and its ARN. */
  const identify = (id: string): { readonly name: string; readonly arn: string } => {
    const { Type, Properties } = resources[id] ?? resourceSchema.parse({ Type: `nothing called ${id}` })
    const named = (property: string) => fill(Properties[property] ?? id)
    switch (Type) {
      case "AWS::S3::Bucket":
        return { name: bucketName(id), arn: `arn:aws:s3:::${bucketName(id)}` }
      case "AWS::KMS::Key":
        return { name: id, arn: arnIn("kms", `key/${id}`) }
      case "AWS::SecretsManager::Secret":
        return { name: arnIn("secretsmanager", `secret:${id}-AbCdEf`), arn: "" }
      case "AWS::SNS::Topic":
        return { name: arnIn("sns", id), arn: arnIn("sns", id) }
      case "AWS::SQS::Queue":
        return { name: `https://sqs.${region}.amazonaws.com/${accountId}/${id}`, arn: arnIn("sqs", id) }
      case "AWS::Events::EventBus":
        return { name: named("Name"), arn: arnIn("events", `event-bus/${named("Name")}`) }
      case "AWS::Events::Rule":
        return { name: id, arn: arnIn("events", `rule/${id}`) }
      case "AWS::Logs::LogGroup":
        return { name: id, arn: arnIn("logs", `log-group:${id}:*`) }
      case "AWS::Lambda::Function":
        return { name: named("FunctionName"), arn: arnIn("lambda", `function:${named("FunctionName")}`) }
      case "AWS::ECS::Cluster":
        return { name: named("ClusterName"), arn: arnIn("ecs", `cluster/${named("ClusterName")}`) }
      case "AWS::ECS::TaskDefinition":
        return { name: arnIn("ecs", `task-definition/${named("Family")}:1`), arn: "" }
      case "AWS::IAM::Role": {
        const path = Properties.Path === undefined ? "/" : fill(Properties.Path)
        const name = Properties.RoleName === undefined ? id : fill(Properties.RoleName)
        return { name, arn: `arn:aws:iam::${accountId}:role${path}${name}` }
      }
      case "AWS::CloudWatch::Alarm":
        return { name: named("AlarmName"), arn: arnIn("cloudwatch", `alarm:${named("AlarmName")}`) }
      default:
        return { name: id, arn: `arn:aws:other:::${Type}/${id}` }
    }
  }

  const fill = (expression: unknown): string => {
    const filled = fillAll(expression)
    if (typeof filled !== "string") throw new Error(`${JSON.stringify(expression)} is no text`)
    return filled
  }

  const fillAll = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(fillAll)
    if (typeof value !== "object" || value === null) return value
    const [[name, argument] = ["", undefined], ...others] = Object.entries(value)
    if (others.length > 0) return mapValues(value, fillAll)
    if (name === "Ref") return pseudo[String(argument)] ?? identify(String(argument)).name
    if (name === "Fn::GetAtt" && Array.isArray(argument)) {
      const [id, attribute] = argument.map(String)
      const { name: physical, arn } = identify(id ?? "")
      return attribute === "Arn" ? arn || physical : `${physical}.${attribute}`
    }
    if (name === "Fn::Sub")
      return String(argument).replaceAll(
        /\$\{([^.}]+)(?:\.([^}]+))?\}/g,
        (_, id: string, attribute?: string) =>
          fill(attribute === undefined ? { Ref: id } : { "Fn::GetAtt": [id, attribute] }),
      )
    if (name === "Fn::Join" && Array.isArray(argument)) {
      const [separator, parts] = argument as [string, unknown[]]
      return parts.map(fill).join(separator)
    }
    return mapValues(value, fillAll)
  }

  const policy = (document: unknown) => ({
    Version: "2012-10-17",
    ...policySchema.parse(fillAll(document)),
  })

  /** The identity policies of a role: its own, and those attached to it. */
  const identityPolicies = (roleId: string): Simulation["identityPolicies"] => {
    const attached = z.looseObject({
      Roles: z.array(z.object({ Ref: z.string() })).default([]),
      PolicyDocument: z.unknown(),
    })
    const inline = z.looseObject({ Policies: z.array(z.object({ PolicyDocument: z.unknown() })).default([]) })
    const own = inline.parse(resources[roleId]?.Properties).Policies.map(({ PolicyDocument }, index) => ({
      name: `${roleId}-${index}`,
      policy: policy(PolicyDocument),
    }))
    const others = Object.entries(resources)
      .filter(([, { Type }]) => Type === "AWS::IAM::Policy" || Type === "AWS::IAM::ManagedPolicy")
      .map(([id, { Properties }]) => ({ id, ...attached.parse(Properties) }))
      .filter(({ Roles }) => Roles.some(({ Ref }) => Ref === roleId))
      .map(({ id, PolicyDocument }) => ({ name: id, policy: policy(PolicyDocument) }))
    return [...own, ...others]
  }

  /** The policies that resources have themselves, by the resource's ARN. */
  const resourcePolicies = new Map<string, { Version: string; Statement: object[] }>()
  const add = (arn: string, document: unknown) => {
    const known = resourcePolicies.get(arn)?.Statement ?? []
    const { Version, Statement } = policy(document)
    resourcePolicies.set(arn, { Version, Statement: [...known, ...Statement] })
  }
  for (const [id, { Type, Properties }] of Object.entries(resources)) {
    const { PolicyDocument } = Properties
    if (Type === "AWS::S3::BucketPolicy") add(`arn:aws:s3:::${fill(Properties.Bucket)}`, PolicyDocument)
    if (Type === "AWS::KMS::Key") add(identify(id).arn, Properties.KeyPolicy)
    if (Type === "AWS::SNS::TopicPolicy")
      for (const topic of z.array(z.unknown()).parse(Properties.Topics)) add(fill(topic), PolicyDocument)
    if (Type === "AWS::SQS::QueuePolicy")
      for (const queue of z.array(z.unknown()).parse(Properties.Queues)) {
        const name = fill(queue).split("/").at(-1) ?? ""
        add(arnIn("sqs", name), PolicyDocument)
      }
    if (Type === "AWS::Lambda::Permission") {
      const { FunctionName, Action, Principal, SourceArn } = Properties
      const condition =
        SourceArn === undefined ? {} : { Condition: { ArnLike: { "aws:SourceArn": SourceArn } } }
      const Resource = fill(FunctionName)
      add(Resource, {
        Statement: [{ Effect: "Allow", Action, Principal: { Service: Principal }, Resource, ...condition }],
      })
    }
  }
  // A topic without a policy has SNS's own, which lets everyone in the account publish.
  for (const [id, { Type }] of Object.entries(resources)) {
    const { arn } = identify(id)
    if (Type !== "AWS::SNS::Topic" || resourcePolicies.has(arn)) continue
    add(arn, {
      Statement: [
        {
          Effect: "Allow",
          Principal: { AWS: "*" },
          Action: ["sns:Publish"],
          Resource: arn,
          Condition: { StringEquals: { "aws:SourceOwner": accountId } },
        },
      ],
    })
  }

  const find = (type: string, id: RegExp): string => {
    const found = Object.keys(resources).filter((name) => resources[name]?.Type === type && id.test(name))
    const [one] = found
    if (one === undefined || found.length > 1)
      throw new Error(`${found.length} resources of ${type} match ${id}: ${found.join(", ")}`)
    return one
  }

  const policyOf = (arn: string) => resourcePolicies.get(arn)

  /** The one resource that is called so without its hash. */
  const idOf = (readable: string): string => {
    const found = Object.keys(resources).filter((id) => readableId(id) === readable)
    const [one] = found
    if (one === undefined || found.length > 1)
      throw new Error(`${found.length} resources are called ${readable}`)
    return one
  }

  return {
    id: accountId,
    policyOf,
    value: fill,
    named: (text) =>
      text.replaceAll(/<(\w+)(\.Arn)?>/g, (_, readable: string, arn?: string) => {
        const known = existing[`${readable}${arn ?? ""}`]
        if (known !== undefined) return known
        const identified = identify(idOf(readable))
        return arn === undefined ? identified.name : identified.arn || identified.name
      }),
    rolesOfTask: (family) =>
      Object.values(resources)
        .filter(({ Type, Properties }) => Type === "AWS::ECS::TaskDefinition" && Properties.Family === family)
        .flatMap(({ Properties }) => [fill(Properties.TaskRoleArn), fill(Properties.ExecutionRoleArn)]),
    arn: (type, id = /./) => {
      const { arn, name } = identify(find(type, id))
      return arn || name
    },
    allows: async ({ by, action, on, context = {} }) => {
      const role = typeof by === "string" ? undefined : find("AWS::IAM::Role", by)
      const target = on.startsWith("arn:aws:s3:::") ? on.replace(/\/.*$/s, "") : on
      const owner = others.find((other) => other.policyOf(target) !== undefined)
      const result = await runSimulation(
        {
          request: {
            principal: role === undefined ? String(by) : identify(role).arn,
            action,
            resource: {
              resource: on,
              accountId: owner?.id ?? /^arn:aws:[a-z0-9-]*:[^:]*:(\d+)/.exec(on)?.[1] ?? accountId,
            },
            contextVariables: {
              "aws:SecureTransport": "true",
              ...(role === undefined ? {} : { "aws:PrincipalArn": identify(role).arn }),
              ...(action.startsWith("s3:") ? { "s3:TlsVersion": "1.3" } : {}),
              ...context,
            },
          },
          identityPolicies: role === undefined ? [] : identityPolicies(role),
          serviceControlPolicies: [],
          resourceControlPolicies: [],
          resourcePolicy: (owner?.policyOf ?? policyOf)(target),
        },
        {},
      )
      if (result.resultType === "error") throw new Error(JSON.stringify(result.errors, null, 1))
      return result.overallResult === "Allowed"
    },
  }
}

function mapValues(value: object, map: (inner: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, map(inner)]))
}
