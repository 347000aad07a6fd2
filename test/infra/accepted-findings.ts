const objects = (keys: string) => `AwsSolutions-IAM5[Resource::<BackupStorageBucket.Arn>/${keys}]`
const revisions = (family: string) =>
  `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task-definition/Pgstow-${family}:*]`
const taskRoles = (kind: string) =>
  `AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::<AWS::AccountId>:role/Pgstow-<AWS::Region>/${kind}/*]`

const keysToCome =
  "S3 knows no other way to name objects that do not exist yet; the actions are as few as can be"
const plainVariables = "they hold names and public keys; passwords come by Secrets Manager"

/** What cdk-nag's AwsSolutions find in the stack with one database, and why it stays so. */
export const acceptedFindings: readonly { rule: string; construct: string; because: string }[] = [
  {
    rule: "AwsSolutions-S1",
    construct: "Storage/Bucket/Resource",
    because:
      "who read what is CloudTrail's to tell, where it is wanted; access logs would be a second bucket to guard",
  },
  {
    rule: "AwsSolutions-VPC7",
    construct: "Network/Vpc/Resource",
    because: "nothing listens in this network; flow logs of backups cost more than the backups",
  },
  {
    rule: "AwsSolutions-SQS3",
    construct: "DeadLetters/Resource",
    because: "it is the queue of dead letters of all functions, schedules and rules",
  },
  {
    rule: "AwsSolutions-SMG4",
    construct: "Identity/Secret",
    because: "a rotated key could not open the backups made before; the runbook says how to change it",
  },
  {
    rule: "AwsSolutions-ECS4",
    construct: "Tasks/Cluster/Resource",
    because:
      "the tasks run for minutes a night, and what is measured of them comes from the backups themselves",
  },
  {
    rule: "AwsSolutions-ECS2",
    construct: "Tasks/Database-orders/backup-orders/Resource",
    because: plainVariables,
  },
  {
    rule: "AwsSolutions-ECS2",
    construct: "Tasks/Database-orders/restore-orders/Resource",
    because: plainVariables,
  },
  {
    rule: "AwsSolutions-ECS2",
    construct: "Tasks/Database-orders/drill-orders/Resource",
    because: plainVariables,
  },
  { rule: "AwsSolutions-ECS2", construct: "Tasks/verify/Resource", because: plainVariables },
  {
    rule: objects("orders/*"),
    construct: "Tasks/Database-orders/backup-orders-TaskRole/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("*"),
    construct: "Tasks/Database-orders/restore-orders-TaskRole/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("orders/*"),
    construct: "Tasks/Database-orders/drill-orders-TaskRole/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("orders/*/checks/*"),
    construct: "Tasks/Database-orders/drill-orders-TaskRole/DefaultPolicy/Resource",
    because: keysToCome,
  },
  { rule: objects("*"), construct: "Tasks/verify-TaskRole/DefaultPolicy/Resource", because: keysToCome },
  {
    rule: objects("*/checks/*"),
    construct: "Tasks/verify-TaskRole/DefaultPolicy/Resource",
    because: keysToCome,
  },
  { rule: objects("*"), construct: "Functions/clean-up-role/DefaultPolicy/Resource", because: keysToCome },
  {
    rule: objects("*/manifest.json"),
    construct: "Functions/clean-up-role/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("*/checks/*"),
    construct: "Functions/clean-up-role/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("*/manifest.json"),
    construct: "Functions/measure-role/DefaultPolicy/Resource",
    because: keysToCome,
  },
  ...["*/manifest.json", "*/checks/*"].map((keys) => ({
    rule: objects(keys),
    construct: "Functions/write-report-role/DefaultPolicy/Resource",
    because: keysToCome,
  })),
  {
    rule: objects("*"),
    construct: "Functions/verify-backup-role/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: objects("*/checks/*"),
    construct: "Functions/verify-backup-role/DefaultPolicy/Resource",
    because: keysToCome,
  },
  {
    rule: revisions("backup-*"),
    construct: "Functions/start-backup-role/DefaultPolicy/Resource",
    because: "the newest revision runs, whatever its number",
  },
  {
    rule: revisions("drill-*"),
    construct: "Functions/start-drill-role/DefaultPolicy/Resource",
    because: "the newest revision runs, whatever its number",
  },
  {
    rule: taskRoles("drill"),
    construct: "Functions/start-drill-role/DefaultPolicy/Resource",
    because: "a path of its own holds the roles of drills",
  },
  {
    rule: revisions("verify"),
    construct: "Functions/verify-backup-role/DefaultPolicy/Resource",
    because: "the newest revision runs, whatever its number",
  },
  {
    rule: taskRoles("backup"),
    construct: "Functions/start-backup-role/DefaultPolicy/Resource",
    because: "a path of its own holds the roles of backups, however many databases there are",
  },
  {
    rule: taskRoles("verify"),
    construct: "Functions/verify-backup-role/DefaultPolicy/Resource",
    because: "a path of its own holds the roles of verifications",
  },
  ...["start-backup", "start-drill", "verify-backup", "stop-hung"].map((name) => ({
    rule: "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/<BackupTasksCluster>/*]",
    construct: `Functions/${name}-role/DefaultPolicy/Resource`,
    because: "ECS makes up the ids of tasks; all of this cluster's are the stack's",
  })),
  {
    rule: "AwsSolutions-IAM5[Resource::*]",
    construct: "Functions/stop-hung-role/DefaultPolicy/Resource",
    because: "ecs:ListTasks knows no resource; a condition names the cluster",
  },
  {
    rule: "AwsSolutions-IAM5[Resource::*]",
    construct: "Functions/start-drill-role/DefaultPolicy/Resource",
    because: "ecs:ListTasks knows no resource; a condition names the cluster",
  },
  {
    rule: "AwsSolutions-IAM5[Resource::*]",
    construct: "Functions/start-backup-role/DefaultPolicy/Resource",
    because: "ecs:ListTasks knows no resource; a condition names the cluster",
  },
]
