import { ArnFormat, Stack } from "aws-cdk-lib"
import { EventField, type IEventBus, Rule, RuleTargetInput } from "aws-cdk-lib/aws-events"
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets"
import { PolicyStatement } from "aws-cdk-lib/aws-iam"
import type { IFunction } from "aws-cdk-lib/aws-lambda"

import type { ISecret } from "aws-cdk-lib/aws-secretsmanager"
import type { ITopic } from "aws-cdk-lib/aws-sns"
import { Construct } from "constructs"
import type * as z from "zod"
import type { cleanUpSettings } from "../functions/clean-up.ts"
import type { measureSettings } from "../functions/measure.ts"
import type { notifySettings } from "../functions/notify.ts"
import { requestSource, type StackRequest } from "../functions/request.ts"
import type { TaskPlace } from "../functions/run-task.ts"
import type { startBackupSettings } from "../functions/start-backup.ts"
import type { startDrillSettings } from "../functions/start-drill.ts"
import type { startRefreshSettings } from "../functions/start-refresh.ts"
import type { stopHungSettings } from "../functions/stop-hung.ts"
import type { taskStoppedSettings } from "../functions/task-stopped.ts"
import type { verifyBackupSettings } from "../functions/verify-backup.ts"
import type { writeReportSettings } from "../functions/write-report.ts"
import type { RetentionPolicy } from "../task/core/retention.ts"
import type { BackupBucket } from "./backup-bucket.ts"
import { backupFunction, type FunctionPlace } from "./backup-function.ts"
import type { BackupNetwork } from "./backup-network.ts"
import type { BackupDatabase, BackupTasks, TaskKind } from "./backup-tasks.ts"
import { allowSecretKey } from "./secret-key.ts"

/** What is sent: everything, or failures and warnings only. */
export type Level = "all" | "error"

export type Webhook = {
  /** The secret that is the webhook's URL. */
  readonly secret: ISecret
  /** Whether it gets everything, or failures and warnings only. */
  readonly level: Level
  /** What the other side understands. @default told by the URL's host, any other gets plain JSON */
  readonly format?: "slack" | "discord" | "teams" | "healthcheck" | "webhook" | undefined
}

export type BackupFunctionsProps = {
  readonly place: FunctionPlace
  readonly databases: readonly BackupDatabase[]
  readonly storage: BackupBucket
  readonly network: BackupNetwork
  readonly tasks: BackupTasks
  readonly spot: boolean
  /** After how many hours a backup, or a verification by a task, is stopped. */
  readonly maxRunHours: number
  readonly retention: RetentionPolicy
  readonly eventBus: IEventBus
  readonly topic: ITopic
  /** Whether the topic gets everything, or failures and warnings only. */
  readonly topicLevel: Level
  readonly webhooks: readonly Webhook[]
}

/**
 * What a function reads in its fifteen minutes with time to spare: its network gives some 75 MB a second at worst
 * (600 Mbit/s), which is 21 GiB in five minutes.
 */
const verifyLimitBytes = 20 * 1024 ** 3

/** The functions, what each may do, and the events that call them. Schedules are the caller's. */
export class BackupFunctions extends Construct {
  readonly startBackup: IFunction
  /** Undefined where nothing is drilled. */
  readonly startDrill: IFunction | undefined
  /** Undefined where there is no copy to refresh. */
  readonly startRefresh: IFunction | undefined
  readonly cleanUp: IFunction
  readonly measure: IFunction
  readonly notify: IFunction
  readonly stopHung: IFunction
  readonly writeReport: IFunction
  readonly taskPlace: TaskPlace
  private readonly props: BackupFunctionsProps

  constructor(scope: Construct, id: string, props: BackupFunctionsProps) {
    super(scope, id)
    this.props = props
    const { network, spot, tasks } = props
    this.taskPlace = {
      cluster: tasks.cluster.clusterName,
      subnetIds: [...network.subnetIds],
      securityGroupIds: [...network.securityGroupIds],
      publicIp: network.publicIp,
      spot,
      capacityWaitSeconds: [15, 60, 120, 240],
    }
    this.startBackup = this.makeStartBackup()
    this.startDrill = this.makeStartDrill()
    this.startRefresh = this.makeStartRefresh()
    this.cleanUp = this.makeCleanUp()
    this.measure = this.makeMeasure()
    this.notify = this.makeNotify()
    this.stopHung = this.makeStopHung()
    this.writeReport = this.makeWriteReport()
    this.makeVerifyBackup()
    this.makeTaskStopped()
  }

  private makeStartBackup(): IFunction {
    const { databases, eventBus, place } = this.props
    const start = backupFunction(this, place, {
      file: "start-backup",
      description: "Starts the backup of a database",
      settings: {
        familyPrefix: `${place.name}-backup-`,
        place: this.taskPlace,
        eventBus: eventBus.eventBusName,
      } satisfies Omit<z.input<typeof startBackupSettings>, "databases">,
      lists: { databases: databases.map(({ name }) => name) },
      timeoutMinutes: 10,
      memoryMB: 256,
    })
    this.allowTasks(start, "backup", "backup-*")
    this.allowListing(start)
    eventBus.grantPutEventsTo(start)
    this.onRequest(
      "BackupWanted",
      "Start Backup",
      this.target(start, RuleTargetInput.fromEventPath("$.detail")),
    )
    return start
  }

  private makeStartDrill(): IFunction | undefined {
    const { databases, eventBus, place, storage, tasks } = this.props
    const drilled = databases.filter((database) => tasks.isDrilled(database))
    if (drilled.length === 0) return undefined
    const server = drilled.find(({ all }) => all)?.name
    const start = backupFunction(this, place, {
      file: "start-drill",
      description: "Starts the test of a database's newest backup by a restore",
      settings: {
        familyPrefix: `${place.name}-drill-`,
        // Nobody starts a drill again when Spot takes its machine.
        place: { ...this.taskPlace, spot: false },
        storage: storage.storageUrl,
        eventBus: eventBus.eventBusName,
      } satisfies Omit<z.input<typeof startDrillSettings>, "databases" | "server">,
      lists: {
        databases: databases.filter(({ all }) => !all).map(({ name }) => name),
        server,
      } satisfies Pick<z.input<typeof startDrillSettings>, "databases" | "server">,
      timeoutMinutes: 10,
      memoryMB: 256,
    })
    this.allowTasks(start, "drill", "drill-*")
    this.allowListing(start)
    // It looks which database of the server was drilled longest ago.
    if (server !== undefined) storage.grantRead(start, "*/manifest.json")
    eventBus.grantPutEventsTo(start)
    return start
  }

  private makeStartRefresh(): IFunction | undefined {
    const { databases, eventBus, place, tasks } = this.props
    if (!databases.some((database) => tasks.isRefreshed(database))) return undefined
    const start = backupFunction(this, place, {
      file: "start-refresh",
      description: "Starts the restore of a database into its staging server",
      settings: {
        familyPrefix: `${place.name}-refresh-`,
        // Nobody starts it again when Spot takes its machine.
        place: { ...this.taskPlace, spot: false },
        eventBus: eventBus.eventBusName,
      } satisfies z.input<typeof startRefreshSettings>,
      timeoutMinutes: 10,
      memoryMB: 256,
    })
    this.allowTasks(start, "refresh", "refresh-*")
    this.allowListing(start)
    eventBus.grantPutEventsTo(start)
    return start
  }

  private makeVerifyBackup(): void {
    const { eventBus, place, storage, tasks } = this.props
    const verify = backupFunction(this, place, {
      file: "verify-backup",
      description: "Reads a new backup again and holds it against its manifest",
      settings: {
        storage: storage.storageUrl,
        limitBytes: verifyLimitBytes,
        family: tasks.verify.family,
        place: this.taskPlace,
        eventBus: eventBus.eventBusName,
      } satisfies z.input<typeof verifyBackupSettings>,
      timeoutMinutes: 15,
      memoryMB: 1769,
    })
    storage.grantRead(verify, "*")
    storage.grantPutChecks(verify)
    this.allowTasks(verify, "verify", "verify")
    eventBus.grantPutEventsTo(verify)
    new Rule(this, "ManifestArrived", {
      description: "A manifest arrived: verify its backup",
      eventPattern: {
        source: ["aws.s3"],
        detailType: ["Object Created"],
        detail: {
          bucket: { name: [storage.bucket.bucketName] },
          object: { key: [{ suffix: "/manifest.json" }] },
        },
      },
      targets: [this.target(verify)],
    })
    this.onRequest("VerificationWanted", "Verify Backup", this.target(verify))
  }

  private makeCleanUp(): IFunction {
    const { databases, eventBus, place, retention, storage } = this.props
    // What no entry names is of the server that is backed up as a whole, where there is one.
    const others = databases.find(({ all }) => all)?.retention
    const own = databases.flatMap(({ name, all, retention: policy = others && retention }) =>
      policy && !all ? [[name, policy] as const] : [],
    )
    const cleanUp = backupFunction(this, place, {
      file: "clean-up",
      description: "Removes the backups that the retention policy does not keep",
      settings: {
        storage: storage.storageUrl,
        retention: others ?? retention,
        eventBus: eventBus.eventBusName,
      } satisfies Omit<z.input<typeof cleanUpSettings>, "retentionOf">,
      lists: { retentionOf: Object.fromEntries(own) },
      timeoutMinutes: 15,
      memoryMB: 512,
    })
    storage.grantRead(cleanUp, "*/manifest.json")
    storage.grantRemove(cleanUp)
    // Before what an interrupted backup left is removed, it is noted among the checks.
    storage.grantPutChecks(cleanUp)
    eventBus.grantPutEventsTo(cleanUp)
    new Rule(this, "BackupVerified", {
      description: "A backup was verified: clean up behind it",
      eventBus,
      eventPattern: { source: ["pgstow"], detailType: ["Verification Succeeded"] },
      targets: [
        this.target(
          cleanUp,
          RuleTargetInput.fromObject({ database: EventField.fromPath("$.detail.database") }),
        ),
      ],
    })
    return cleanUp
  }

  private makeMeasure(): IFunction {
    const { databases, eventBus, place, storage, tasks } = this.props
    const measure = backupFunction(this, place, {
      file: "measure",
      description: "Measures age, size and duration of the newest verified backups",
      settings: {
        stack: place.name,
        storage: storage.storageUrl,
        eventBus: eventBus.eventBusName,
      } satisfies Omit<z.input<typeof measureSettings>, "databases" | "server" | "drilled">,
      lists: {
        databases: databases.filter(({ all }) => !all).map(({ name }) => name),
        server: databases.find(({ all }) => all)?.name,
        drilled: databases.filter((database) => tasks.isDrilled(database)).map(({ name }) => name),
      } satisfies Pick<z.input<typeof measureSettings>, "databases" | "server" | "drilled">,
      timeoutMinutes: 5,
      memoryMB: 512,
    })
    storage.grantRead(measure, "*/manifest.json")
    eventBus.grantPutEventsTo(measure)
    return measure
  }

  private makeNotify(): IFunction {
    const { databases, eventBus, place, storage, topic, topicLevel, webhooks } = this.props
    const notify = backupFunction(this, place, {
      file: "notify",
      description: "Tells people what happened",
      settings: {
        stack: place.name,
        bucket: storage.bucket.bucketName,
        topicArn: topic.topicArn,
        topicLevel,
        webhooks: webhooks.map(({ secret, ...webhook }) => ({ ...webhook, secretArn: secret.secretArn })),
      } satisfies Omit<z.input<typeof notifySettings>, "databases" | "server">,
      lists: {
        databases: databases.filter(({ all }) => !all).map(({ name }) => name),
        server: databases.find(({ all }) => all)?.name,
      } satisfies Pick<z.input<typeof notifySettings>, "databases" | "server">,
      timeoutMinutes: 2,
      memoryMB: 256,
    })
    topic.grantPublish(notify)
    storage.grantReadReport(notify)
    for (const { secret } of webhooks) {
      secret.grantRead(notify)
      allowSecretKey(notify, secret)
    }
    new Rule(this, "Happened", {
      description: "Everything that pgstow says: tell people",
      eventBus,
      eventPattern: { source: ["pgstow"] },
      targets: [this.target(notify)],
    })
    return notify
  }

  private makeWriteReport(): IFunction {
    const { databases, place, retention, storage } = this.props
    const others = databases.find(({ all }) => all)
    const limits = databases
      .filter(({ all }) => !all)
      .map(
        ({ name, retention: policy = others?.retention && retention, maxAgeHours }) =>
          [name, { ...(policy ? { policy } : {}), maxAgeHours }] as const,
      )
    const write = backupFunction(this, place, {
      file: "write-report",
      description: "Writes a page about all backups beside them",
      settings: {
        storage: storage.storageUrl,
        bucket: storage.bucket.bucketName,
        retention: others?.retention ?? retention,
        maxAgeHours: others?.maxAgeHours ?? 26,
      } satisfies Omit<z.input<typeof writeReportSettings>, "limitsOf">,
      lists: { limitsOf: Object.fromEntries(limits) },
      timeoutMinutes: 15,
      memoryMB: 1024,
    })
    storage.grantRead(write, "*/manifest.json")
    storage.grantReadChecks(write)
    storage.grantPutReport(write)
    return write
  }

  private makeStopHung(): IFunction {
    const { maxRunHours, place, tasks } = this.props
    const stopHung = backupFunction(this, place, {
      file: "stop-hung",
      description: "Stops tasks that have run for too long",
      settings: {
        cluster: tasks.cluster.clusterName,
        // Not the restores: somebody waits for each of them.
        familyPrefixes: [
          `${place.name}-backup-`,
          `${place.name}-verify`,
          `${place.name}-drill-`,
          `${place.name}-refresh-`,
        ],
        maxRunHours,
      } satisfies z.input<typeof stopHungSettings>,
      timeoutMinutes: 2,
      memoryMB: 256,
    })
    this.allowListing(stopHung)
    stopHung.addToRolePolicy(
      new PolicyStatement({
        actions: ["ecs:DescribeTasks", "ecs:StopTask"],
        resources: [this.taskArns()],
        conditions: { ArnEquals: { "ecs:cluster": tasks.cluster.clusterArn } },
      }),
    )
    return stopHung
  }

  private makeTaskStopped(): void {
    const { eventBus, place, tasks } = this.props
    const stopped = backupFunction(this, place, {
      file: "task-stopped",
      description: "Reports tasks that stopped without reporting a result",
      settings: {
        familyPrefix: `${place.name}-`,
        eventBus: eventBus.eventBusName,
      } satisfies z.input<typeof taskStoppedSettings>,
      timeoutMinutes: 1,
      memoryMB: 256,
    })
    eventBus.grantPutEventsTo(stopped)
    new Rule(this, "TaskStopped", {
      description: "A task of the cluster ended",
      eventPattern: {
        source: ["aws.ecs"],
        detailType: ["ECS Task State Change"],
        detail: { clusterArn: [tasks.cluster.clusterArn], lastStatus: ["STOPPED"] },
      },
      targets: [this.target(stopped)],
    })
  }

  /** May start the tasks of a kind, whatever their revision, in this cluster. */
  private allowTasks(caller: IFunction, kind: TaskKind, families: string): void {
    const definitions = Stack.of(this).formatArn({
      service: "ecs",
      resource: "task-definition",
      resourceName: `${this.props.place.name}-${families}:*`,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    })
    const roles = Stack.of(this).formatArn({
      service: "iam",
      region: "",
      resource: "role",
      // The path begins and ends with a slash.
      resourceName: `${this.props.tasks.rolePath(kind).slice(1)}*`,
    })
    caller.addToRolePolicy(
      new PolicyStatement({
        actions: ["ecs:RunTask"],
        resources: [definitions],
        conditions: { ArnEquals: { "ecs:cluster": this.props.tasks.cluster.clusterArn } },
      }),
    )
    // Their tags are those of the definition, and giving a task any takes this.
    caller.addToRolePolicy(
      new PolicyStatement({
        actions: ["ecs:TagResource"],
        resources: [this.taskArns()],
        conditions: { StringEquals: { "ecs:CreateAction": "RunTask" } },
      }),
    )
    caller.addToRolePolicy(
      new PolicyStatement({
        actions: ["iam:PassRole"],
        resources: [roles],
        conditions: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
      }),
    )
  }

  /** May see which tasks there are in this cluster. */
  private allowListing(caller: IFunction): void {
    caller.addToRolePolicy(
      new PolicyStatement({
        actions: ["ecs:ListTasks"],
        // ECS has no resource for this; the cluster is named by the condition.
        resources: ["*"],
        conditions: { ArnEquals: { "ecs:cluster": this.props.tasks.cluster.clusterArn } },
      }),
    )
  }

  /** All tasks of this cluster. */
  private taskArns(): string {
    return Stack.of(this).formatArn({
      service: "ecs",
      resource: "task",
      resourceName: `${this.props.tasks.cluster.clusterName}/*`,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    })
  }

  /** What functions ask of each other: functions/request.ts. */
  private onRequest(id: string, type: StackRequest["type"], target: LambdaFunction): void {
    new Rule(this, id, {
      description: `One function asks another: ${type}`,
      eventBus: this.props.eventBus,
      eventPattern: { source: [requestSource], detailType: [type] },
      targets: [target],
    })
  }

  private target(handler: IFunction, event?: RuleTargetInput): LambdaFunction {
    return new LambdaFunction(handler, {
      retryAttempts: 10,
      deadLetterQueue: this.props.place.deadLetters,
      ...(event === undefined ? {} : { event }),
    })
  }
}
