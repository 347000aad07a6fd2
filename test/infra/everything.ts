/** Settings with something of every kind: each sort of connection, an existing network, all that can be asked for. */
export const everything = {
  databases: [
    {
      name: "orders",
      connection: { urlSecret: "pgstow/orders" },
      schedule: "rate(6 hours)",
      timeZone: "Europe/Berlin",
      maxAgeHours: 8,
      size: { cpu: 4096, memoryMiB: 8192 },
      retention: { keepLast: 3 },
      staging: {
        connection: { urlSecret: "pgstow/staging" },
        into: "orders_staging",
        runFile: "test/fixtures/staging.sql",
        schedule: "rate(7 days)",
        options: ["--no-owner"],
      },
      drill: {
        schedule: "rate(1 day)",
        maxAgeHours: 50,
        size: { cpu: 2048, memoryMiB: 4096 },
        storageGiB: 120,
        skipExtensions: ["pg_cron"],
        expectations: [{ sql: "SELECT count(*) > 0 FROM orders" }],
      },
      restoreConnection: { urlSecret: "pgstow/orders-admin" },
    },
    { name: "shop", connection: { rdsSecret: "rds!shop", host: "shop.example.com", database: "shop" } },
    {
      name: "crm",
      connection: { iamUser: "pgstow", resourceId: "db-ABC123", host: "crm.example.com", database: "crm" },
    },
    { name: "wiki", connection: { rdsSecret: "wiki", caSecret: "pgstow/wiki-ca" }, drill: false },
  ],
  recipients: ["age14ajrsakha54z6pt79xv9ewzgwdr46qapcs6krk5yf0s6tmttauks6uqf3t"],
  keyVersion: 2,
  network: {
    vpcId: "vpc-0a1b2c3d",
    subnetIds: ["subnet-0a1b2c3d"],
    securityGroupIds: ["sg-0a1b2c3d"],
    routeTableIds: ["rtb-0a1b2c3d"],
  },
  bucket: {
    coldAfterDays: 30,
    undeleteDays: 90,
    objectLock: { mode: "COMPLIANCE", days: 14 },
    copyTo: {
      bucketArn: "arn:aws:s3:::second",
      kmsKeyArn: "arn:aws:kms:eu-west-1:444455556666:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
      account: "444455556666",
    },
  },
  notifications: {
    emails: ["ops@example.com"],
    emailLevel: "all",
    webhooks: [{ secret: "pgstow/slack", level: "all" }],
  },
  spot: true,
  architecture: "x86_64",
  logRetentionDays: 365,
}
