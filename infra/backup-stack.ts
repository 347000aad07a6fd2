import { readFileSync } from "node:fs"
import { Annotations, ArnFormat, Stack, type StackProps, Tags, Token } from "aws-cdk-lib"
import { SecurityGroup, Vpc } from "aws-cdk-lib/aws-ec2"
import { Repository } from "aws-cdk-lib/aws-ecr"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import { Key } from "aws-cdk-lib/aws-kms"
import { type ISecret, Secret } from "aws-cdk-lib/aws-secretsmanager"
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions"
import type { Construct } from "constructs"
import type { StackConnection as Connection } from "../task/config/connection-schema.ts"
import { rhythmHours } from "../task/config/schedule-expression.ts"
import type { RetentionPolicy } from "../task/core/retention.ts"
import { PgstowError } from "../task/errors.ts"
import { type BackupNetworkProps, endpointServices, knownRegion } from "./backup-network.ts"
import type { DatabaseConnection } from "./backup-tasks.ts"
import { PostgresBackup, type PostgresDatabase } from "./postgres-backup.ts"
import type { Settings } from "./settings.ts"

/** One stack with everything, made from settings. */
export class BackupStack extends Stack {
  readonly backup: PostgresBackup

  constructor(scope: Construct, settings: Settings, props: StackProps = {}) {
    super(scope, settings.stackName, {
      description: "pgstow: encrypted, verified, restorable PostgreSQL backups",
      ...props,
    })
    const { architecture, bucket, drillImage, identity, image, notifications, recipients, retention, spot } =
      settings
    this.backup = new PostgresBackup(this, "Backup", {
      name: settings.stackName,
      databases: settings.databases.map(({ connection, restoreConnection, staging, ...options }) => ({
        ...options,
        connection: this.connection(connection),
        ...(restoreConnection === undefined ? {} : { restoreConnection: this.connection(restoreConnection) }),
        ...(staging === undefined ? {} : { staging: this.staging(options.name, staging) }),
      })),
      retention,
      recipients,
      keyVersion: settings.keyVersion,
      maxRunHours: settings.maxRunHours,
      bucket,
      architecture,
      spot,
      spreadMinutes: settings.spreadMinutes,
      topicLevel: notifications.emailLevel,
      webhooks: notifications.webhooks.map(({ secret, kmsKeyArn, ...webhook }) => ({
        ...webhook,
        secret: this.secret(secret, kmsKeyArn),
      })),
      logRetentionDays: settings.logRetentionDays,
      ...(settings.network === undefined ? {} : { network: this.existingNetwork(settings.network) }),
      ...(identity === undefined
        ? {}
        : {
            identity:
              typeof identity === "string" ? identity : this.secret(identity.secret, identity.kmsKeyArn),
          }),
      ...(image === undefined ? {} : { image: this.image(image) }),
      ...(drillImage === undefined ? {} : { drillImage: this.image(drillImage, "DrillRepository") }),
      drillPackages: settings.drillPackages,
    })
    for (const address of notifications.emails)
      this.backup.topic.addSubscription(new EmailSubscription(address))
    for (const [name, value] of Object.entries(settings.tags)) Tags.of(this).add(name, value)
    this.warn(settings)
  }

  private warn(settings: Settings): void {
    const { databases, image, network, notifications } = settings
    if (databases.length === 0)
      Annotations.of(this).addWarningV2(
        "pgstow:no-databases",
        "no database is backed up: name one in the settings",
      )
    if (notifications.emails.length + notifications.webhooks.length === 0)
      Annotations.of(this).addWarningV2(
        "pgstow:nobody-is-told",
        'nobody is told when a backup fails: set notifications, for example { "emails": ["ops@example.com"] }',
      )
    if (network !== undefined && !network.publicIp && !network.endpoints) {
      const region = Token.isUnresolved(this.region) ? "REGION" : this.region
      const services = [...endpointServices, "s3"].map((service) => `com.amazonaws.${region}.${service}`)
      Annotations.of(this).addInfo(
        `tasks have no public addresses: their subnets need a NAT gateway, or endpoints to ${services.join(", ")}, which network.endpoints makes`,
      )
    }
    this.warnOfDrills(settings)
    const copied = databases.filter(({ staging }) => staging !== undefined).map(({ name }) => name)
    if (settings.identity === "none" && copied.length > 0)
      Annotations.of(this).addWarningV2(
        "pgstow:no-refreshes",
        `there is no private key in AWS, so no copy for staging is made of ${copied.join(", ")}`,
      )
    const registry = image === undefined ? undefined : this.farRegistry(image)
    if (network !== undefined && !network.publicIp && registry !== undefined)
      Annotations.of(this).addWarningV2(
        "pgstow:image-out-of-reach",
        `tasks have no public addresses, and image is in ${registry}: endpoints do not lead there, so without a NAT gateway no task starts. Copy the image to ECR in the stack's own region, or have it built by leaving image out`,
      )
  }

  private warnOfDrills({ databases, drillImage, drillPackages, identity, image, retention }: Settings): void {
    const drilled = databases.filter(({ drill }) => drill !== false)
    if (drilled.length === 0) return
    if (identity === "none") {
      Annotations.of(this).addInfo(
        'nothing is drilled in AWS, since there is no private key: run `pgstow drill` where the key is, or set "drill": false',
      )
      return
    }
    if (image !== undefined && drillImage === undefined) {
      Annotations.of(this).addWarningV2(
        "pgstow:no-drills",
        'nothing is drilled: image is one that is there already, and drillImage names none with PostgreSQL\'s servers. Build the target "drill" of task/Dockerfile beside it, or set "drill": false',
      )
      return
    }
    if (drillImage !== undefined && drillPackages.length > 0)
      Annotations.of(this).addWarningV2(
        "pgstow:drill-packages",
        "drillPackages has no effect: drillImage is there already",
      )
    for (const { name, drill, schedule, retention: own } of drilled) {
      if (drill === false) continue
      const keptHours = hoursKept(own ?? retention, rhythmHours(schedule) ?? 24)
      if (keptHours < drill.maxAgeHours)
        Annotations.of(this).addWarningV2(
          `pgstow:short-retention-${name}`,
          `the findings of drills go with their backups, and the retention of ${name} keeps those for some ${Math.round(keptHours / 24)} days: that no drill was good for ${Math.round(drill.maxAgeHours / 24)} days may stay unnoticed. Keep backups longer, or drill more often`,
        )
    }
  }

  /** Where an image is that the endpoints for ECR do not lead to: they are those of the stack's region. */
  private farRegistry(image: string): string | undefined {
    const { region } = inEcr(image) ?? {}
    if (region === undefined) return "another registry than ECR"
    const own = knownRegion(this)
    return own === undefined || own === region ? undefined : `ECR of ${region}`
  }

  /** An image by its name. One in ECR is pulled with the task's own rights there, any other as the public may. */
  private image(name: string, id = "Repository"): ContainerImage {
    const place = inEcr(name)
    if (place === undefined) return ContainerImage.fromRegistry(name)
    const { account, region, repositoryName, tagOrDigest } = place
    const repositoryArn = this.formatArn({
      service: "ecr",
      region,
      account,
      resource: "repository",
      resourceName: repositoryName,
    })
    const repository = Repository.fromRepositoryAttributes(this, id, {
      repositoryArn,
      repositoryName,
    })
    return ContainerImage.fromEcrRepository(repository, tagOrDigest)
  }

  /** A copy in another server, with the SQL of its file as it is now. */
  private staging(
    database: string,
    { connection, runFile, ...options }: NonNullable<Settings["databases"][number]["staging"]>,
  ): NonNullable<PostgresDatabase["staging"]> {
    const sql = runFile === undefined ? undefined : sqlIn(runFile, database)
    return { ...options, connection: this.connection(connection), sql }
  }

  private connection(connection: Connection): DatabaseConnection {
    const { caSecret: ca, caKmsKeyArn, ...reached } = connection
    const caSecret = ca === undefined ? undefined : this.secret(ca, caKmsKeyArn)
    if ("iamUser" in reached) return { ...reached, caSecret }
    const { kmsKeyArn, ...others } = reached
    if ("urlSecret" in others) return { urlSecret: this.secret(others.urlSecret, kmsKeyArn), caSecret }
    return { ...others, rdsSecret: this.secret(others.rdsSecret, kmsKeyArn), caSecret }
  }

  /** A secret by its name or its ARN; the same one for the same text and key. */
  private secret(text: string, kmsKeyArn: string | undefined): ISecret {
    const id = `Secret ${text}${kmsKeyArn === undefined ? "" : ` by ${kmsKeyArn}`}`
    const known = this.node.tryFindChild(id)
    // Only this method makes children of such names.
    if (known !== undefined) return known as Secret
    if (kmsKeyArn !== undefined) {
      const encryptionKey = Key.fromKeyArn(this, `Key of ${id}`, kmsKeyArn)
      if (text.startsWith("arn:"))
        return Secret.fromSecretAttributes(this, id, { secretCompleteArn: text, encryptionKey })
      const arn = { service: "secretsmanager", resource: "secret", resourceName: text }
      const secretPartialArn = this.formatArn({ ...arn, arnFormat: ArnFormat.COLON_RESOURCE_NAME })
      return Secret.fromSecretAttributes(this, id, { secretPartialArn, encryptionKey })
    }
    return text.startsWith("arn:")
      ? Secret.fromSecretCompleteArn(this, id, text)
      : Secret.fromSecretNameV2(this, id, text)
  }

  private existingNetwork(network: NonNullable<Settings["network"]>): BackupNetworkProps {
    const { vpcId, subnetIds, securityGroupIds, publicIp, routeTableIds, endpoints, letInto } = network
    return {
      // Subnets are named, so their zones are not asked for; the library wants to hear of one all the same.
      vpc: Vpc.fromVpcAttributes(this, "Vpc", { vpcId, availabilityZones: ["any"] }),
      subnetIds,
      publicIp,
      routeTableIds,
      endpoints,
      letInto,
      ...(securityGroupIds === undefined
        ? {}
        : {
            securityGroups: securityGroupIds.map((id) => SecurityGroup.fromSecurityGroupId(this, id, id)),
          }),
    }
  }
}

/** A task definition holds 64 KB in all. */
const longestSql = 24 * 1024

function sqlIn(runFile: string, database: string): string {
  const wrong = (what: string, cause?: unknown) =>
    new PgstowError("usage", `staging.runFile of ${database}, ${runFile}, ${what}`, { cause })
  let sql: string
  try {
    sql = readFileSync(runFile, "utf8")
  } catch (cause) {
    throw wrong("can't be read", cause)
  }
  if (sql.trim() === "") throw wrong("is empty")
  if (Buffer.byteLength(sql) > longestSql)
    throw wrong(`is larger than the ${longestSql} bytes that a task definition has room for`)
  return sql
}

/** For about how long a retention policy keeps the best of backups that come every so many hours. */
function hoursKept(policy: RetentionPolicy, everyHours: number): number {
  const { keepLast = 0, keepDays = 0, keepHourly = 0, keepDaily = 0 } = policy
  const { keepWeekly = 0, keepMonthly = 0, keepYearly = 0 } = policy
  const days = Math.max(keepDays, keepDaily, keepWeekly * 7, keepMonthly * 28, keepYearly * 365)
  return Math.max(24 * days, keepLast * everyHours, keepHourly)
}

/** Where an image is in ECR, by its name; undefined for one of any other registry, ECR's public one included. */
function inEcr(image: string) {
  const [, account, region, repositoryName, tagOrDigest] =
    /^(\d{12})\.dkr[.-]ecr\.([a-z0-9-]+)\.[a-z.]+\/([^:@]+)(?:[:@](.+))?$/.exec(image) ?? []
  if (account === undefined || region === undefined || repositoryName === undefined) return undefined
  return { account, region, repositoryName, tagOrDigest }
}
