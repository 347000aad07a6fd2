import { ArnFormat, Duration, NestedStack, Stack } from "aws-cdk-lib"
import type { IVpc } from "aws-cdk-lib/aws-ec2"
import {
  Capability,
  Cluster,
  type ContainerImage,
  ContainerInsights,
  CpuArchitecture,
  FargateTaskDefinition,
  LinuxParameters,
  LogDrivers,
  OperatingSystemFamily,
  Secret as TaskSecret,
} from "aws-cdk-lib/aws-ecs"
import type { IEventBus } from "aws-cdk-lib/aws-events"
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam"
import type { ILogGroup } from "aws-cdk-lib/aws-logs"
import type { ISecret } from "aws-cdk-lib/aws-secretsmanager"
import { Construct } from "constructs"
import type * as z from "zod"
import { containerName } from "../functions/run-task.ts"
import type { DatabaseOptions } from "../task/config/database-schema.ts"
import type { stagingOptionsSchema } from "../task/config/staging-schema.ts"
import type { TaskSize } from "../task/config/task-size.ts"
import type { BackupBucket } from "./backup-bucket.ts"
import { allowIdentity, allowSecretKey } from "./secret-key.ts"

/**
 * How tasks reach a database, and where their credentials come from. `caSecret` is the certificate of the authority
 * that signed the server's, in PEM, where that is not a public one or RDS's.
 */
export type DatabaseConnection =
  /** A secret that is a URL: postgresql://user:password@host:5432/database */
  | { readonly urlSecret: ISecret; readonly caSecret?: ISecret | undefined }
  /** A secret as RDS writes it, JSON with username and password. What is not given here is taken from it too. */
  | {
      readonly rdsSecret: ISecret
      readonly caSecret?: ISecret | undefined
      readonly host?: string | undefined
      readonly port?: number | undefined
      readonly database?: string | undefined
    }
  /** RDS IAM authentication: a token in place of a password. `resourceId` is the instance's or the cluster's. */
  | {
      readonly iamUser: string
      readonly resourceId: string
      readonly host: string
      readonly port: number
      readonly database: string
      readonly caSecret?: ISecret | undefined
    }

export type BackupDatabase = DatabaseOptions & {
  readonly connection: DatabaseConnection
  readonly restoreConnection: DatabaseConnection
  /** The copy in another server, where there is to be one. */
  readonly staging?: Staging | undefined
}

export type Staging = z.output<typeof stagingOptionsSchema> & {
  readonly connection: DatabaseConnection
  /** SQL that runs in the copy before it gets its name. */
  readonly sql?: string | undefined
}

export type BackupTasksProps = {
  /** What the cluster is called, and what the family of each task definition begins with. */
  readonly name: string
  readonly databases: readonly BackupDatabase[]
  readonly vpc: IVpc
  readonly storage: BackupBucket
  /** The private key. Without one, there are no tasks that restore. */
  readonly identity: ISecret | undefined
  /** The public keys that every backup is sealed for. */
  readonly recipients: readonly string[]
  readonly eventBus: IEventBus
  readonly logGroup: ILogGroup
  readonly image: ContainerImage
  /** The image with PostgreSQL's servers. Without one, there are no drills. */
  readonly drillImage: ContainerImage | undefined
  readonly architecture: "arm64" | "x86_64"
}

export type TaskKind = "backup" | "restore" | "verify" | "drill" | "refresh"

type TaskOptions = {
  readonly kind: TaskKind
  readonly size: TaskSize
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly connection?: DatabaseConnection
  /** @default that of all tasks */
  readonly image?: ContainerImage
  /** @default 20, which cost nothing */
  readonly storageGiB?: number
  /** Starts as root, with no more rights than it takes to run a server as another user. @default as the image's user */
  readonly runsServer?: boolean
}

/**
 * What is left to root where it runs a server as another user: it takes CHOWN, SETUID and SETGID to make that server,
 * DAC_OVERRIDE to reach it, and KILL to end it. The others are those that Docker gives a container unless told not to.
 */
export const withoutServers = [
  Capability.AUDIT_WRITE,
  Capability.FOWNER,
  Capability.FSETID,
  Capability.MKNOD,
  Capability.NET_BIND_SERVICE,
  Capability.NET_RAW,
  Capability.SETFCAP,
  Capability.SETPCAP,
  Capability.SYS_CHROOT,
]

/**
 * The cluster, and a task definition for each thing that runs there: `NAME-backup-DATABASE` and
 * `NAME-restore-DATABASE`, `NAME-drill-DATABASE` and `NAME-refresh-DATABASE` for each database that wants them, where there
 * is a private key, and `NAME-verify` for all. Whoever runs one may override its command by any of pgstow's; what its role may do stays the same.
 *
 * What a database needs is in a nested stack of its own: a stack holds 500 resources, and no database may move when
 * another one comes or goes.
 */
export class BackupTasks extends Construct {
  readonly cluster: Cluster
  readonly verify: FargateTaskDefinition
  private readonly props: BackupTasksProps
  private readonly stacks = new Map<string, NestedStack>()

  constructor(scope: Construct, id: string, props: BackupTasksProps) {
    super(scope, id)
    this.props = props
    const { databases, storage } = props
    this.cluster = new Cluster(this, "Cluster", {
      clusterName: props.name,
      vpc: props.vpc,
      containerInsightsV2: ContainerInsights.DISABLED,
      // A resource of its own, made after the cluster: in an account that never used ECS, the role that ECS needs to
      // look at capacity providers is made together with the first cluster.
      enableFargateCapacityProviders: true,
    })
    for (const database of databases) {
      const stack = new NestedStack(this, `Database-${database.name}`, {
        description: `pgstow: the tasks of ${database.name}`,
      })
      this.stacks.set(database.name, stack)
      this.backupTask(stack, database)
      if (props.identity === undefined) continue
      this.restoreTask(stack, database, props.identity)
      if (this.isDrilled(database)) this.drillTask(stack, database, props.identity)
      if (database.staging !== undefined) this.refreshTask(stack, database, database.staging, props.identity)
    }
    this.verify = this.task(this, "verify", {
      kind: "verify",
      size: { cpu: 1024, memoryMiB: 2048 },
      command: ["list"],
    })
    storage.grantRead(this.verify.taskRole, "*")
    storage.grantPutChecks(this.verify.taskRole)
  }

  /** The nested stack of a database, for whatever else it needs. */
  stackOf(name: string): Construct {
    return this.stacks.get(name) ?? this
  }

  /** Whether there are drills of a database: where it wants them, and there are a private key and servers. */
  isDrilled({ drill }: Pick<BackupDatabase, "drill">): boolean {
    return drill !== false && this.props.identity !== undefined && this.props.drillImage !== undefined
  }

  /** Whether there is a task that refreshes a copy of a database. */
  isRefreshed({ staging }: Pick<BackupDatabase, "staging">): boolean {
    return staging !== undefined && this.props.identity !== undefined
  }

  /** Stores, and can neither read what is stored nor remove it. */
  private backupTask(stack: NestedStack, database: BackupDatabase): void {
    const { name, all, exclude, size, connection } = database
    const { recipients, storage } = this.props
    const task = this.task(stack, `backup-${name}`, {
      kind: "backup",
      size,
      command: ["backup"],
      environment: {
        ...(all
          ? { PGSTOW_ALL: "true", ...(exclude.length > 0 ? { PGSTOW_EXCLUDE: exclude.join(" ") } : {}) }
          : { PGSTOW_NAME: name }),
        ...patternVariables(database),
        PGSTOW_RECIPIENTS: recipients.join(" "),
        // What it stored it may not read: a function verifies it as soon as the manifest is there.
        PGSTOW_VERIFY: "false",
      },
      connection,
    })
    // What databases a server will have, nobody knows yet.
    storage.grantPut(task.taskRole, all ? "" : `${name}/`)
  }

  /** Reads every backup and the key. Run as it is, it restores nothing and lists what could be. */
  private restoreTask(
    stack: NestedStack,
    { name, size, restoreConnection }: BackupDatabase,
    identity: ISecret,
  ): void {
    const { storage } = this.props
    const task = this.task(stack, `restore-${name}`, {
      kind: "restore",
      size,
      command: ["list"],
      environment: { PGSTOW_IDENTITY: `secretsmanager:${identity.secretArn}` },
      connection: restoreConnection,
    })
    storage.grantRead(task.taskRole, "*")
    allowIdentity(task.taskRole, identity)
  }

  /** Restores into a server of its own, and adds what it found. Reads the key, and the backups of its database alone. */
  private drillTask(stack: NestedStack, { name, all, size, drill }: BackupDatabase, identity: ISecret): void {
    if (drill === false) return
    const { drillImage, storage } = this.props
    const { skipExtensions, expectations, storageGiB } = drill
    const task = this.task(stack, `drill-${name}`, {
      kind: "drill",
      size: drill.size ?? size,
      storageGiB,
      // Of a whole server, the one who starts it says which.
      command: all ? ["list"] : ["drill", "latest", "--database", name],
      environment: {
        PGSTOW_IDENTITY: `secretsmanager:${identity.secretArn}`,
        ...(skipExtensions.length > 0 ? { PGSTOW_SKIP_EXTENSION: skipExtensions.join(" ") } : {}),
        ...(expectations.length > 0 ? { PGSTOW_EXPECTATIONS: JSON.stringify(expectations) } : {}),
      },
      ...(drillImage === undefined ? {} : { image: drillImage }),
      // What the database's own functions do in the server then finds neither the key nor the task's credentials.
      runsServer: true,
    })
    // What databases a server will have, nobody knows yet.
    const prefix = all ? "" : `${name}/`
    storage.grantRead(task.taskRole, `${prefix}*`)
    storage.grantPutChecks(task.taskRole, prefix)
    allowIdentity(task.taskRole, identity)
  }

  /** Restores the newest backup of its database into another server, in the place of the one before. Reads the key. */
  private refreshTask(
    stack: NestedStack,
    { name, size }: BackupDatabase,
    staging: Staging,
    identity: ISecret,
  ): void {
    const { storage } = this.props
    const { connection, into, options, sql } = staging
    const task = this.task(stack, `refresh-${name}`, {
      kind: "refresh",
      size: staging.size ?? size,
      command: ["restore", "latest", "--database", name, "--into", into, "--replace", "--yes", ...options],
      environment: {
        PGSTOW_IDENTITY: `secretsmanager:${identity.secretArn}`,
        ...(sql === undefined ? {} : { PGSTOW_RUN_SQL: sql }),
      },
      connection,
    })
    storage.grantRead(task.taskRole, `${name}/*`)
    allowIdentity(task.taskRole, identity)
  }

  /** The path of the roles of a kind of tasks: who may start these tasks may pass what is below it. */
  rolePath(kind: TaskKind): string {
    return `/${this.props.name}-${Stack.of(this).region}/${kind}/`
  }

  private task(scope: Construct, family: string, options: TaskOptions): FargateTaskDefinition {
    const { architecture, eventBus, image, logGroup, name, storage } = this.props
    const { size, connection } = options
    const role = (id: string) =>
      new Role(scope, `${family}-${id}`, {
        path: this.rolePath(options.kind),
        assumedBy: new ServicePrincipal("ecs-tasks.amazonaws.com"),
      })
    const task = new FargateTaskDefinition(scope, family, {
      family: `${name}-${family}`,
      taskRole: role("TaskRole"),
      executionRole: role("ExecutionRole"),
      cpu: size.cpu,
      memoryLimitMiB: size.memoryMiB,
      runtimePlatform: {
        cpuArchitecture: architecture === "arm64" ? CpuArchitecture.ARM64 : CpuArchitecture.X86_64,
        operatingSystemFamily: OperatingSystemFamily.LINUX,
      },
      volumes: [{ name: "tmp" }],
      // Fargate gives 20 by itself, and takes nothing for them.
      ...(options.storageGiB === undefined || options.storageGiB === 20
        ? {}
        : { ephemeralStorageGiB: options.storageGiB }),
    })
    const linuxParameters = new LinuxParameters(task, "Linux", { initProcessEnabled: true })
    linuxParameters.dropCapabilities(...(options.runsServer ? withoutServers : [Capability.ALL]))
    const { environment, secrets } = connection ? connectionVariables(connection) : {}
    const ca = connection?.caSecret
    const container = task.addContainer(containerName, {
      image: options.image ?? image,
      command: [...options.command],
      environment: {
        AWS_REGION: Stack.of(this).region,
        PGSTOW_STORAGE: storage.storageUrl,
        PGSTOW_EVENT_BUS: eventBus.eventBusName,
        ...options.environment,
        ...environment,
      },
      secrets: { ...secrets, ...(ca === undefined ? {} : { PGSTOW_CA: TaskSecret.fromSecretsManager(ca) }) },
      linuxParameters,
      ...(options.runsServer ? { user: "0" } : {}),
      readonlyRootFilesystem: true,
      // Time to abort uploads, and to say so.
      stopTimeout: Duration.seconds(60),
      logging: LogDrivers.awsLogs({ logGroup, streamPrefix: family }),
    })
    container.addMountPoints({ containerPath: "/tmp", sourceVolume: "tmp", readOnly: false })
    eventBus.grantPutEventsTo(task.taskRole)
    for (const secret of [connection && secretOf(connection), ca])
      if (secret !== undefined) allowSecretKey(task.obtainExecutionRole(), secret)
    if (connection !== undefined && "iamUser" in connection)
      task.addToTaskRolePolicy(
        new PolicyStatement({
          actions: ["rds-db:connect"],
          resources: [
            Stack.of(this).formatArn({
              service: "rds-db",
              resource: "dbuser",
              resourceName: `${connection.resourceId}/${connection.iamUser}`,
              arnFormat: ArnFormat.COLON_RESOURCE_NAME,
            }),
          ],
        }),
      )
    return task
  }
}

/** Which tables a backup holds. Names with spaces stand in double quotes. */
function patternVariables({
  tables,
  schemas,
  excludeTables,
  excludeSchemas,
  excludeTableData,
}: BackupDatabase): Record<string, string> {
  const all = {
    PGSTOW_TABLE: tables,
    PGSTOW_SCHEMA: schemas,
    PGSTOW_EXCLUDE_TABLE: excludeTables,
    PGSTOW_EXCLUDE_SCHEMA: excludeSchemas,
    PGSTOW_EXCLUDE_TABLE_DATA: excludeTableData,
  }
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, some]) => (some.length > 0 ? [[name, some.join(" ")]] : [])),
  )
}

function secretOf(connection: DatabaseConnection): ISecret | undefined {
  if ("urlSecret" in connection) return connection.urlSecret
  return "rdsSecret" in connection ? connection.rdsSecret : undefined
}

/** What a container gets to know about its database: secrets by reference only. TLS is verified unless a URL says otherwise. */
function connectionVariables(connection: DatabaseConnection): {
  environment: Record<string, string>
  secrets: Record<string, TaskSecret>
} {
  const verified = { PGSSLMODE: "verify-full" }
  if ("urlSecret" in connection)
    return {
      environment: verified,
      secrets: { DATABASE_URL: TaskSecret.fromSecretsManager(connection.urlSecret) },
    }
  if ("iamUser" in connection)
    return {
      environment: {
        ...verified,
        PGSTOW_RDS_IAM: "true",
        PGHOST: connection.host,
        PGPORT: String(connection.port),
        PGDATABASE: connection.database,
        PGUSER: connection.iamUser,
      },
      secrets: {},
    }
  const { rdsSecret, host, port, database } = connection
  const field = (name: string) => TaskSecret.fromSecretsManager(rdsSecret, name)
  return {
    environment: {
      ...verified,
      ...(host === undefined ? {} : { PGHOST: host }),
      ...(port === undefined ? {} : { PGPORT: String(port) }),
      ...(database === undefined ? {} : { PGDATABASE: database }),
    },
    secrets: {
      PGUSER: field("username"),
      PGPASSWORD: field("password"),
      ...(host === undefined ? { PGHOST: field("host") } : {}),
      // A secret without a host has no port either: RDS's own hold the user alone.
      ...(port === undefined && host === undefined ? { PGPORT: field("port") } : {}),
      ...(database === undefined ? { PGDATABASE: field("dbname") } : {}),
    },
  }
}
