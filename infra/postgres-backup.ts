import { CfnOutput, Duration, Names, RemovalPolicy, Stack } from "aws-cdk-lib"
import type { ContainerImage } from "aws-cdk-lib/aws-ecs"
import { EventBus, type IEventBus } from "aws-cdk-lib/aws-events"
import { PolicyStatement, ServicePrincipal } from "aws-cdk-lib/aws-iam"
import { LogGroup, type RetentionDays } from "aws-cdk-lib/aws-logs"
import type { ISecret } from "aws-cdk-lib/aws-secretsmanager"
import { type ITopic, Topic } from "aws-cdk-lib/aws-sns"
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs"
import { Construct } from "constructs"
import type * as z from "zod"
import { containerName } from "../functions/run-task.ts"
import type { RetentionPolicy } from "../task/core/retention.ts"
import { BackupBucket } from "./backup-bucket.ts"
import { backupFunction } from "./backup-function.ts"
import { BackupFunctions, type Level, type Webhook } from "./backup-functions.ts"
import { builtImage } from "./backup-image.ts"
import { BackupNetwork, type BackupNetworkProps } from "./backup-network.ts"
import { BackupTasks, type DatabaseConnection } from "./backup-tasks.ts"
import { IdentityKey } from "./identity-key.ts"
import { Monitoring } from "./monitoring.ts"
import { Schedules } from "./schedules.ts"
import {
  bucketOptionsSchema,
  databaseOptionsSchema,
  databasesSchema,
  retentionDefault,
  wrongSettings,
} from "./settings.ts"

export type PostgresDatabase = z.input<typeof databaseOptionsSchema> & {
  readonly connection: DatabaseConnection
  /** Who restores, and into which server. @default the connection that backs up */
  readonly restoreConnection?: DatabaseConnection
}

export type PostgresBackupProps = {
  readonly databases: readonly PostgresDatabase[]
  /** What is named here begins with it: cluster, functions, alarms. @default made from the construct's path */
  readonly name?: string
  /** What cleanup keeps of a database that does not say. @default 7 daily, 5 weekly, 12 monthly */
  readonly retention?: RetentionPolicy
  /** More public keys to seal every backup for, beside the one that is made here. @default none */
  readonly recipients?: readonly string[]
  /** Raise it after you have put another key into the secret: the next deployment seals for that one. @default 1 */
  readonly keyVersion?: number
  /** @default a small network of its own, with public addresses and without a NAT gateway */
  readonly network?: BackupNetworkProps
  /** @default no lock, no second bucket, no colder class; what was removed can be brought back for 14 days */
  readonly bucket?: z.input<typeof bucketOptionsSchema>
  /**
   * The topic that gets what happens. One that has a policy must let cloudwatch.amazonaws.com publish, or no
   * alarm arrives. @default a new one
   */
  readonly topic?: ITopic
  /** Whether the topic gets everything, or failures and warnings only. @default error */
  readonly topicLevel?: Level
  /** @default none */
  readonly webhooks?: readonly Webhook[]
  /**
   * Within how many minutes after its time a backup may start: a new account may run few tasks at once.
   * @default 0, and 30 from five databases on
   */
  readonly spreadMinutes?: number | undefined
  /** Start tasks on Fargate Spot, and on demand where Spot has no room. @default false */
  readonly spot?: boolean
  /** @default arm64 */
  readonly architecture?: "arm64" | "x86_64"
  /** @default built from task/Dockerfile */
  readonly image?: ContainerImage
  /** @default 90 */
  readonly logRetentionDays?: RetentionDays
}

/** How many backups of one vCPU each a new account's quota of Fargate bears at the same time, with room for more. */
const startAtOnce = 4

/**
 * Encrypted backups of PostgreSQL databases: taken by schedule, verified as they arrive, cleaned up behind
 * verified ones, watched by alarms, restored by a task. Bucket, keys and backups stay when the stack goes.
 *
 * Throws where a database's options can't be used, with the path of the wrong one.
 */
export class PostgresBackup extends Construct {
  readonly storage: BackupBucket
  /** Holds the private key. Who may read it can read every backup. */
  readonly identity: ISecret
  readonly network: BackupNetwork
  readonly tasks: BackupTasks
  /** What is named here begins with it. */
  readonly name: string
  /** Where pgstow says what happens: source "pgstow", detail types "Backup Succeeded", "Backup Failed", … */
  readonly eventBus: IEventBus
  readonly topic: ITopic

  constructor(scope: Construct, id: string, props: PostgresBackupProps) {
    super(scope, id)
    const name = props.name ?? Names.uniqueResourceName(this, { maxLength: 28, separator: "-" })
    this.name = name
    const architecture = props.architecture ?? "arm64"
    const retention = props.retention ?? retentionDefault
    const checked = databasesSchema.safeParse(props.databases)
    if (!checked.success) throw wrongSettings(checked.error, this.node.path, ["databases"])
    const databases = props.databases.map((database) => ({
      ...databaseOptionsSchema.parse(database),
      connection: database.connection,
      restoreConnection: database.restoreConnection ?? database.connection,
    }))

    this.storage = new BackupBucket(this, "Storage", {
      ...bucketOptionsSchema.parse(props.bucket ?? {}),
      name,
    })
    this.network = new BackupNetwork(this, "Network", props.network)
    this.eventBus = new EventBus(this, "Events", { eventBusName: name })
    this.topic = props.topic ?? this.ownTopic(name)
    const deadLetters = new Queue(this, "DeadLetters", {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    })
    const logs = (id: string) =>
      new LogGroup(this, id, {
        retention: props.logRetentionDays ?? 90,
        removalPolicy: RemovalPolicy.DESTROY,
      })
    const place = { name, architecture, logGroup: logs("FunctionLogs"), deadLetters }

    const makeKey = backupFunction(this, place, {
      file: "make-key",
      description: "Makes the key of the backups, once",
      settings: {},
      timeoutMinutes: 2,
      memoryMB: 256,
    })
    const identity = new IdentityKey(this, "Identity", makeKey, props.keyVersion ?? 1)
    this.identity = identity.secret
    this.tasks = new BackupTasks(this, "Tasks", {
      name,
      databases,
      vpc: this.network.vpc,
      storage: this.storage,
      identity: identity.secret,
      recipients: [identity.recipient, ...(props.recipients ?? [])],
      eventBus: this.eventBus,
      logGroup: logs("TaskLogs"),
      image: props.image ?? builtImage(this, architecture),
      architecture,
    })
    const functions = new BackupFunctions(this, "Functions", {
      place,
      databases,
      storage: this.storage,
      network: this.network,
      tasks: this.tasks,
      spot: props.spot ?? false,
      retention,
      eventBus: this.eventBus,
      topic: this.topic,
      topicLevel: props.topicLevel ?? "error",
      webhooks: props.webhooks ?? [],
    })

    const schedules = new Schedules(this, "Schedules", deadLetters)
    for (const { name: database, schedule, timeZone } of databases)
      schedules.add(`backup-${database}`, {
        name: `${name}-backup-${database}`,
        description: `Backs up ${database}`,
        expression: schedule,
        timeZone,
        spreadMinutes: props.spreadMinutes ?? (databases.length > startAtOnce ? 30 : 0),
        function: functions.startBackup,
        event: { database, token: "<aws.scheduler.scheduled-time>" },
      })
    schedules.add("clean-up", {
      name: `${name}-clean-up`,
      description: "Cleans up every database, whether backups arrive or not",
      expression: "cron(30 12 * * ? *)",
      function: functions.cleanUp,
      event: { database: "*" },
    })
    schedules.add("measure", {
      name: `${name}-measure`,
      description: "Measures the age of the newest backups",
      expression: "rate(1 hour)",
      function: functions.measure,
      event: {},
    })
    new Monitoring(this, "Monitoring", {
      name,
      databases,
      deadLetters,
      copyFailures: this.storage.copy?.failures,
      topic: this.topic,
      notify: functions.notify,
    })
    this.output("Bucket", "Where the backups are", this.storage.bucket.bucketName)
    if (this.storage.copy !== undefined)
      this.output(
        "CopyRole",
        "The role that the second bucket, and its key, must let in",
        this.storage.copy.role.roleArn,
      )
    this.output(
      "IdentitySecret",
      "The secret with the private key: keep a copy off-line",
      identity.secret.secretArn,
    )
    this.output("Recipient", "The public key that backups are sealed for", identity.recipient)
    this.output(
      "Place",
      "Where tasks run: npm run cloud reads it",
      Stack.of(this).toJsonString({ name, ...functions.taskPlace }),
    )
    for (const { name: database } of databases)
      this.output(`Restore-${database}`, `Restores ${database}`, this.restoreCommand(name, database))
  }

  /** A topic that the account's own alarms may publish to. */
  private ownTopic(name: string): Topic {
    const topic = new Topic(this, "Topic", { displayName: `${name} backups`, enforceSSL: true })
    // With a policy of its own, a topic loses the one that lets everything in the account publish.
    topic.addToResourcePolicy(
      new PolicyStatement({
        principals: [new ServicePrincipal("cloudwatch.amazonaws.com")],
        actions: ["sns:Publish"],
        resources: [topic.topicArn],
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    )
    return topic
  }

  /** The command that restores the newest backup of `database` beside it, ready to paste. */
  private restoreCommand(name: string, database: string): string {
    const { subnetIds, securityGroupIds, publicIp } = this.network
    const network = `awsvpcConfiguration={subnets=[${subnetIds.join(",")}],securityGroups=[${securityGroupIds.join(",")}],assignPublicIp=${publicIp ? "ENABLED" : "DISABLED"}}`
    const restore = ["--backup", "latest", "--database", database, "--into", `${database}_restored`]
    const command = ["restore", ...restore]
    const overrides = JSON.stringify({ containerOverrides: [{ name: containerName, command }] })
    return [
      `aws ecs run-task --cluster ${this.tasks.cluster.clusterName} --launch-type FARGATE`,
      `--task-definition ${name}-restore-${database}`,
      `--network-configuration '${network}'`,
      `--overrides '${overrides}'`,
    ].join(" ")
  }

  private output(id: string, description: string, value: string): void {
    // Named by itself: the path of this construct in somebody's app would be in the way of whoever reads it.
    // Of two in one stack, the second one's outputs begin with its name.
    const [first] = Stack.of(this)
      .node.findAll()
      .filter((other) => other instanceof PostgresBackup)
    const words = first === this ? id : `${this.name} ${id}`
    new CfnOutput(this, `${id}Output`, { description, value }).overrideLogicalId(
      words.replaceAll(/[^A-Za-z0-9]/g, ""),
    )
  }
}
