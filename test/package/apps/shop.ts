/** A foreign CDK app: two constructs, one of them in a network that is there. */
import { App, Stack } from "aws-cdk-lib"
import { Port, SecurityGroup, Vpc } from "aws-cdk-lib/aws-ec2"
import { Secret } from "aws-cdk-lib/aws-secretsmanager"
import { BackupStack, PostgresBackup, type PostgresBackupProps, parseSettings } from "pgstow/cdk"

const app = new App()
const env = { account: "111122223333", region: "eu-central-1" }
const shop = new Stack(app, "Shop", { env })

const orders: PostgresBackupProps = {
  databases: [
    {
      name: "orders",
      connection: { urlSecret: Secret.fromSecretNameV2(shop, "OrdersUrl", "shop/orders") },
      excludeTableData: ["audit.*"],
      retention: { keepDaily: 7, keepMonthly: 12 },
    },
  ],
}
new PostgresBackup(shop, "Orders", orders)

const vpc = Vpc.fromVpcAttributes(shop, "Vpc", {
  vpcId: "vpc-0a1b2c3d",
  availabilityZones: ["eu-central-1a", "eu-central-1b"],
  privateSubnetIds: ["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
})
const billing = new PostgresBackup(shop, "Billing", {
  databases: [
    {
      name: "billing",
      schedule: "cron(30 2 * * ? *)",
      timeZone: "Europe/Berlin",
      connection: {
        iamUser: "backup",
        resourceId: "db-ABCDEF",
        host: "billing.example.com",
        port: 5432,
        database: "billing",
      },
    },
  ],
  network: { vpc, subnetIds: vpc.privateSubnets.map(({ subnetId }) => subnetId) },
  bucket: { coldAfterDays: 30 },
})
const database = SecurityGroup.fromSecurityGroupId(shop, "Database", "sg-0a1b2c3d")
database.connections.allowFrom(billing, Port.tcp(5432))

const settings = parseSettings(
  { databases: [{ name: "crm", connection: { urlSecret: "shop/crm" } }] },
  "the settings of the shop",
)
new BackupStack(app, settings, { env })

app.synth()
