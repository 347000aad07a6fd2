/** What the npm package offers as "pgstow/cdk": the constructs, for somebody else's CDK app. */
export { BackupBucket } from "./backup-bucket.ts"
export type { Level, Webhook } from "./backup-functions.ts"
export { BackupNetwork, type BackupNetworkProps } from "./backup-network.ts"
export { BackupStack } from "./backup-stack.ts"
export { BackupTasks, type DatabaseConnection } from "./backup-tasks.ts"
export { PostgresBackup, type PostgresBackupProps, type PostgresDatabase } from "./postgres-backup.ts"
export { parseSettings, type Settings } from "./settings.ts"
