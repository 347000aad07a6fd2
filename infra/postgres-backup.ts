import { CfnOutput, Duration, Names, RemovalPolicy, Stack, Token } from "aws-cdk-lib"
import type { Connections, IConnectable } from "aws-cdk-lib/aws-ec2"
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
import { bucketOptionsSchema } from "../task/config/bucket-schema.ts"
import { databaseOptionsSchema, databasesSchema } from "../task/config/database-schema.ts"
import { retentionDefault } from "../task/config/settings-schema.ts"
import { stagingOptionsSchema } from "../task/config/staging-schema.ts"
import { wrongSettings } from "../task/config/wrong-settings.ts"
import type { RetentionPolicy } from "../task/core/retention.ts"
import { PgstowError } from "../task/errors.ts"
import { BackupBucket } from "./backup-bucket.ts"
import { backupFunction, type FunctionPlace } from "./backup-function.ts"
import { BackupFunctions, type Level, type Webhook } from "./backup-functions.ts"
import { builtImage } from "./backup-image.ts"
import { BackupNetwork, type BackupNetworkProps } from "./backup-network.ts"
import { type BackupDatabase, BackupTasks, type DatabaseConnection, type Staging } from "./backup-tasks.ts"
import { drillImage } from "./drill-image.ts"
import { IdentityKey } from "./identity-key.ts"
import { Monitoring } from "./monitoring.ts"
import { kindOf, mixtureOf } from "./recipient-kinds.ts"
import { Schedules } from "./schedules.ts"

export type PostgresDatabase = z.input<typeof databaseOptionsSchema> & {
  readonly connection: DatabaseConnection
  /** Who restores, and into which server. @default the connection that backs up */
  readonly restoreConnection?: DatabaseConnection
  /** A copy in another server, which the newest backup replaces by a schedule. @default none */
  readonly staging?: z.input<typeof stagingOptionsSchema> & Pick<Staging, "connection" | "sql">
}

export type PostgresBackupProps = {
  readonly databases: readonly PostgresDatabase[]
  /** What is named here begins with it: cluster, functions, alarms. @default made from the construct's path */
  readonly name?: string
  /** What cleanup keeps of a database that does not say. @default 7 daily, 5 weekly, 12 monthly */
  readonly retention?: RetentionPolicy
  /** More public keys to seal every backup for, beside the one that is made here. @default none */
  readonly recipients?: readonly string[]
  /**
   * A secret that holds an age identity already, which may be that of an earlier stack; or "none", where only
   * `recipients` hold private keys, and nothing in AWS can open a backup; or "hybrid", for a new key of the
   * post-quantum kind, beside which all `recipients` must be of that kind. @default a new secret, with a new classic key
   */
  readonly identity?: ISecret | "none" | "hybrid"
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
  /** After how many hours a backup, or a verification by a task, is taken for hung and stopped. @default 24 */
  readonly maxRunHours?: number
  /** Start tasks on Fargate Spot, and on demand where Spot has no room. @default false */
  readonly spot?: boolean
  /** @default arm64 */
  readonly architecture?: "arm64" | "x86_64"
  /** @default built from task/Dockerfile */
  readonly image?: ContainerImage
  /** The same with PostgreSQL's servers. @default built as `image` is; none where that is given, and nothing is drilled */
  readonly drillImage?: ContainerImage
  /** More packages in it where it is built here, MAJOR in their names for PostgreSQL's version. @default none */
  readonly drillPackages?: readonly string[]
  /** @default 90 */
  readonly logRetentionDays?: RetentionDays
}

/** How many backups of one vCPU each a new account's quota of Fargate bears at the same time, with room for more. */
const startAtOnce = 4

/**
 * Encrypted backups of PostgreSQL databases: taken by schedule, verified as they arrive, cleaned up behind
 * verified ones, watched by alarms, restored by a task. Bucket, keys and backups stay when the stack goes.
 *
 * Its connections are those of its tasks: `server.connections.allowDefaultPortFrom(backup)` lets them in.
 *
 * Throws where a database's options can't be used, with the path of the wrong one.
 */
export class PostgresBackup extends Construct implements IConnectable {
  readonly storage: BackupBucket
  /** Holds the private key. Who may read it can read every backup. Undefined where there is none in AWS. */
  readonly identity: ISecret | undefined
  readonly network: BackupNetwork
  readonly tasks: BackupTasks
  /** What is named here begins with it. */
  readonly name: string
  /** Where pgstow says what happens: source "pgstow", detail types "Backup Succeeded", "Backup Failed", … */
  readonly eventBus: IEventBus
  readonly topic: ITopic
  private readonly databases: readonly BackupDatabase[]

  constructor(scope: Construct, id: string, props: PostgresBackupProps) {
    super(scope, id)
    this.name = props.name ?? Names.uniqueResourceName(this, { maxLength: 28, separator: "-" })
    this.databases = this.checked(props.databases)
    this.storage = new BackupBucket(this, "Storage", {
      ...bucketOptionsSchema.parse(props.bucket ?? {}),
      name: this.name,
    })
    this.network = new BackupNetwork(this, "Network", props.architecture ?? "arm64", props.network)
    this.eventBus = new EventBus(this, "Events", { eventBusName: this.name })
    this.topic = props.topic ?? this.ownTopic()
    const place = this.functionPlace(props)
    const key = this.makeIdentity(place, props)
    this.identity = key?.secret
    const recipients = [...(key === undefined ? [] : [key.recipient]), ...(props.recipients ?? [])]
    this.tasks = this.makeTasks(recipients, props)
    const functions = this.makeFunctions(place, props)
    this.schedule(functions, place, props.spreadMinutes)
    new Monitoring(this, "Monitoring", {
      name: this.name,
      databases: this.databases,
      deadLetters: place.deadLetters,
      copyFailures: this.storage.copy?.failures,
      topic: this.topic,
      notify: functions.notify,
      tasks: this.tasks,
    })
    this.makeOutputs(functions, key)
  }

  get connections(): Connections {
    return this.network.connections
  }

  private checked(given: readonly PostgresDatabase[]): BackupDatabase[] {
    const checked = databasesSchema.safeParse(given)
    if (!checked.success) throw wrongSettings(checked.error, this.node.path, ["databases"])
    return given.map((database, index) => ({
      ...databaseOptionsSchema.parse(database),
      connection: database.connection,
      restoreConnection: database.restoreConnection ?? database.connection,
      staging: this.checkedStaging(database, index),
    }))
  }

  private checkedStaging({ staging }: PostgresDatabase, index: number): Staging | undefined {
    if (staging === undefined) return undefined
    const { connection, sql, ...options } = staging
    const checked = stagingOptionsSchema.safeParse(options)
    if (!checked.success) throw wrongSettings(checked.error, this.node.path, ["databases", index, "staging"])
    // An empty variable counts as not set: the copy would get its name unmasked.
    if (sql !== undefined && sql.trim() === "")
      throw new PgstowError("usage", `${this.node.path}: databases[${index}].staging.sql is empty`, {
        hint: "Put the statements there that are to run in the copy, or leave it out.",
      })
    return { ...checked.data, connection, sql }
  }

  private logs(id: string, props: PostgresBackupProps): LogGroup {
    return new LogGroup(this, id, {
      retention: props.logRetentionDays ?? 90,
      removalPolicy: RemovalPolicy.DESTROY,
    })
  }

  private functionPlace(props: PostgresBackupProps): FunctionPlace {
    return {
      name: this.name,
      architecture: props.architecture ?? "arm64",
      logGroup: this.logs("FunctionLogs", props),
      deadLetters: new Queue(this, "DeadLetters", {
        encryption: QueueEncryption.SQS_MANAGED,
        enforceSSL: true,
        retentionPeriod: Duration.days(14),
      }),
    }
  }

  /** The key in Secrets Manager, where there is to be one. */
  private makeIdentity(
    place: FunctionPlace,
    { identity, keyVersion, recipients = [] }: PostgresBackupProps,
  ): IdentityKey | undefined {
    const known = recipients.filter((recipient) => !Token.isUnresolved(recipient))
    const mixed = mixtureOf(identity, known)
    if (mixed !== undefined) throw new TypeError(`recipients ${mixed}`)
    if (identity === "none") {
      if (recipients.length > 0) return undefined
      throw new TypeError('recipients must name a public key where identity is "none"')
    }
    const makeKey = backupFunction(this, place, {
      file: "make-key",
      description: "Makes the key of the backups, once",
      settings: {},
      timeoutMinutes: 2,
      memoryMB: 256,
    })
    const [kind] = identity === "hybrid" ? [identity] : known.map(kindOf)
    const existing = identity === "hybrid" ? undefined : identity
    return new IdentityKey(this, "Identity", makeKey, keyVersion ?? 1, kind, existing)
  }

  private makeTasks(recipients: readonly string[], props: PostgresBackupProps): BackupTasks {
    const architecture = props.architecture ?? "arm64"
    return new BackupTasks(this, "Tasks", {
      name: this.name,
      databases: this.databases,
      vpc: this.network.vpc,
      storage: this.storage,
      identity: this.identity,
      recipients,
      eventBus: this.eventBus,
      logGroup: this.logs("TaskLogs", props),
      image: props.image ?? builtImage(this, architecture),
      drillImage:
        props.drillImage ?? (this.buildsDrills(props) ? this.builtDrills(architecture, props) : undefined),
      architecture,
    })
  }

  /** Whether an image for drills is to be built: not where somebody brings another one, and maybe has no Docker. */
  private buildsDrills({ image }: PostgresBackupProps): boolean {
    return (
      image === undefined &&
      this.identity !== undefined &&
      this.databases.some(({ drill }) => drill !== false)
    )
  }

  private builtDrills(architecture: "arm64" | "x86_64", { drillPackages = [] }: PostgresBackupProps) {
    return drillImage(this, architecture, drillPackages)
  }

  private makeFunctions(place: FunctionPlace, props: PostgresBackupProps): BackupFunctions {
    return new BackupFunctions(this, "Functions", {
      place,
      databases: this.databases,
      storage: this.storage,
      network: this.network,
      tasks: this.tasks,
      spot: props.spot ?? false,
      maxRunHours: props.maxRunHours ?? 24,
      retention: props.retention ?? retentionDefault,
      eventBus: this.eventBus,
      topic: this.topic,
      topicLevel: props.topicLevel ?? "error",
      webhooks: props.webhooks ?? [],
    })
  }

  private schedule(
    functions: BackupFunctions,
    { deadLetters }: FunctionPlace,
    spreadMinutes = this.databases.length > startAtOnce ? 30 : 0,
  ): void {
    const schedules = new Schedules(this, "Schedules", deadLetters)
    for (const { name: database, schedule, timeZone } of this.databases)
      schedules.add(`backup-${database}`, {
        name: `${this.name}-backup-${database}`,
        description: `Backs up ${database}`,
        expression: schedule,
        timeZone,
        spreadMinutes,
        function: functions.startBackup,
        event: { database, token: "<aws.scheduler.scheduled-time>" },
      })
    if (functions.startDrill !== undefined)
      for (const { name: database, timeZone, drill } of this.databases) {
        if (drill === false) continue
        schedules.add(`drill-schedule-${database}`, {
          name: `${this.name}-drill-${database}`,
          description: `Tests a backup of ${database} by a restore`,
          expression: drill.schedule,
          timeZone,
          spreadMinutes,
          scope: this.tasks.stackOf(database),
          function: functions.startDrill,
          event: { database, token: "<aws.scheduler.scheduled-time>" },
        })
      }
    if (functions.startRefresh !== undefined)
      for (const { name: database, timeZone, staging } of this.databases) {
        if (staging === undefined) continue
        schedules.add(`refresh-schedule-${database}`, {
          name: `${this.name}-refresh-${database}`,
          description: `Restores ${database} into its staging server`,
          expression: staging.schedule,
          timeZone,
          spreadMinutes,
          scope: this.tasks.stackOf(database),
          function: functions.startRefresh,
          event: { database, token: "<aws.scheduler.scheduled-time>" },
        })
      }
    schedules.add("clean-up", {
      name: `${this.name}-clean-up`,
      description: "Cleans up every database, whether backups arrive or not",
      expression: "cron(30 12 * * ? *)",
      function: functions.cleanUp,
      event: { database: "*" },
    })
    schedules.add("write-report", {
      name: `${this.name}-write-report`,
      description: "Writes a page about all backups beside them",
      expression: "cron(45 12 * * ? *)",
      function: functions.writeReport,
      event: {},
    })
    schedules.add("measure", {
      name: `${this.name}-measure`,
      description: "Measures the age of the newest backups",
      expression: "rate(1 hour)",
      function: functions.measure,
      event: {},
    })
    schedules.add("stop-hung", {
      name: `${this.name}-stop-hung`,
      description: "Stops tasks that have run for too long",
      expression: "rate(1 hour)",
      function: functions.stopHung,
      event: {},
    })
  }

  private makeOutputs(functions: BackupFunctions, key: IdentityKey | undefined): void {
    this.output("Bucket", "Where the backups are", this.storage.bucket.bucketName)
    const { copy } = this.storage
    if (copy !== undefined)
      this.output("CopyRole", "The role that the second bucket, and its key, must let in", copy.role.roleArn)
    this.output(
      "SecurityGroups",
      "The security groups of the tasks: databases must let them in",
      this.network.securityGroupIds.join(","),
    )
    const { name, identity } = this
    this.output(
      "Place",
      "Where tasks run: npm run cloud reads it",
      Stack.of(this).toJsonString({ name, restores: identity !== undefined, ...functions.taskPlace }),
    )
    if (key === undefined) return
    this.output(
      "IdentitySecret",
      "The secret with the private key: keep a copy off-line",
      key.secret.secretArn,
    )
    this.output("Recipient", "The public key that backups are sealed for", key.recipient)
    for (const { name: entry, all } of this.databases)
      this.output(
        `Restore-${entry}`,
        `Restores ${all ? "a database of " : ""}${entry}`,
        this.restoreCommand(entry, all),
      )
  }

  /** A topic that the account's own alarms may publish to. */
  private ownTopic(): Topic {
    const topic = new Topic(this, "Topic", { displayName: `${this.name} backups`, enforceSSL: true })
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
  private restoreCommand(entry: string, all: boolean): string {
    const database = all ? "DATABASE" : entry
    const { subnetIds, securityGroupIds, publicIp } = this.network
    const network = `awsvpcConfiguration={subnets=[${subnetIds.join(",")}],securityGroups=[${securityGroupIds.join(",")}],assignPublicIp=${publicIp ? "ENABLED" : "DISABLED"}}`
    const restore = ["--backup", "latest", "--database", database, "--into", `${database}_restored`]
    const command = ["restore", ...restore]
    const overrides = JSON.stringify({ containerOverrides: [{ name: containerName, command }] })
    return [
      `aws ecs run-task --cluster ${this.tasks.cluster.clusterName} --launch-type FARGATE`,
      `--task-definition ${this.name}-restore-${entry}`,
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
