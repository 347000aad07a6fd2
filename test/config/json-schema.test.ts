import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Ajv, type ValidateFunction } from "ajv"
import addFormats from "ajv-formats"
import { beforeAll, describe, expect, test } from "vitest"
import { makeJsonSchema } from "../../task/config/json-schema.ts"
import { settingsSchema } from "../../task/config/settings-schema.ts"

const root = join(import.meta.dirname, "../..")

let validate: ValidateFunction
beforeAll(() => {
  // Strict: the schema itself has no keyword or format that a validator does not know.
  const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true })
  addFormats.default(ajv)
  validate = ajv.compile(makeJsonSchema())
})

const recipient = "age14ajrsakha54z6pt79xv9ewzgwdr46qapcs6krk5yf0s6tmttauks6uqf3t"
const orders = { name: "orders", connection: { urlEnv: "ORDERS_URL" } }

/** Whether the schema and the program agree. */
function taken(json: unknown): boolean {
  const byProgram = settingsSchema.safeParse(json).success
  const bySchema = validate(json)
  expect(bySchema, JSON.stringify(validate.errors)).toBe(byProgram)
  return bySchema
}

describe("the JSON Schema of the settings", () => {
  test.each([
    ["nothing but a database", { databases: [orders] }],
    ["a reference to itself", { $schema: "./pgstow.config.schema.json", databases: [orders] }],
    [
      "each kind of connection",
      {
        databases: [
          { name: "a", connection: { urlFile: "a.url", caFile: "ca.pem" } },
          { name: "b", connection: { service: "b" } },
          { name: "c", connection: { url: "postgresql://app@db.example.com/c" } },
          { name: "d", connection: { urlSecret: "pgstow/d" } },
          { name: "e", connection: { rdsSecret: "rds!db-0a1b2c3d", host: "db" } },
          { name: "f", connection: { iamUser: "f", resourceId: "db-ABC", host: "db", database: "f" } },
        ],
      },
    ],
    [
      "what a machine is told",
      {
        databases: [
          {
            ...orders,
            storages: ["s3://bucket/a"],
            recipients: [recipient],
            identity: { file: "key" },
            jobs: "auto",
            cleanup: true,
            notifications: { webhooks: [{ urlEnv: "HOOK", level: "all" }] },
          },
        ],
        storages: ["file:///var/backups", "./backups"],
        recipients: [recipient],
        retention: { keepDaily: 7 },
      },
    ],
    [
      "what the stack is told",
      {
        databases: [
          { name: "orders", connection: { urlSecret: "orders" }, size: { cpu: 512, memoryMiB: 1024 } },
        ],
        notifications: { emails: ["ops@example.com"] },
        identity: "none",
        recipients: [recipient],
        network: { vpcId: "vpc-0a1b2c3d", subnetIds: ["subnet-0a1b2c3d"] },
        bucket: { coldAfterDays: 30 },
        logRetentionDays: 90,
      },
    ],
  ])("takes %s, as the program does", (_, json) => {
    expect(taken(json)).toBe(true)
  })

  test.each([
    ["an unknown setting", { databases: [orders], storage: ["./backups"] }],
    ["an unknown setting of a database", { databases: [{ ...orders, shedule: "cron(0 3 * * ? *)" }] }],
    ["a database without a name", { databases: [{ connection: { urlEnv: "A" } }] }],
    ["a database without a connection", { databases: [{ name: "orders" }] }],
    ["a connection of two kinds", { databases: [{ name: "a", connection: { urlEnv: "A", urlFile: "b" } }] }],
    [
      "a URL in place of a variable",
      { databases: [{ name: "a", connection: { urlEnv: "postgresql://a:b@c/d" } }] },
    ],
    ["a password in a URL", { databases: [{ name: "a", connection: { url: "postgresql://a:b@c/d" } }] }],
    ["a password among keywords", { databases: [{ name: "a", connection: { url: "host=c password=b" } }] }],
    [
      "a password among keywords on lines of their own",
      { databases: [{ name: "a", connection: { url: "host=c\nuser=a\npassword=b" } }] },
    ],
    [
      "a password behind a URL",
      { databases: [{ name: "a", connection: { url: "postgresql://c/d?password=b" } }] },
    ],
    ["no public key", { databases: [orders], recipients: ["AGE-SECRET-KEY-1"] }],
    ["a storage of another kind", { databases: [orders], storages: ["ftp://backup"] }],
    ["a retention of none", { databases: [orders], retention: { keepDaily: 0 } }],
    ["an address that is none", { databases: [orders], notifications: { emails: ["ops"] } }],
    ["too many streams", { databases: [orders], jobs: 100 }],
  ])("refuses %s, as the program does", (_, json) => {
    expect(taken(json)).toBe(false)
  })

  test("takes the examples of every README", async () => {
    let examples = 0
    for (const file of ["README.md", "task/README.md", "infra/README.md"]) {
      const text = await readFile(join(root, file), "utf8")
      for (const [, block = ""] of text.matchAll(/^```json\n(.*?)^```$/gms)) {
        if (!block.includes('"databases"')) continue
        examples += 1
        expect(validate(JSON.parse(block)), `${file}: ${block}${JSON.stringify(validate.errors)}`).toBe(true)
      }
    }
    expect(examples).toBeGreaterThanOrEqual(2)
  })

  test("describes every setting of the file and of a database", () => {
    const bare = (properties: object) =>
      Object.entries(properties)
        .filter(([, one]: [string, { description?: string }]) => one.description === undefined)
        .map(([name]) => name)
    const schema = makeJsonSchema() as {
      properties: { databases: { items: { properties: object } }; retention: { properties: object } }
    } // The test fails where it is not so.
    expect(bare(schema.properties)).toEqual([])
    expect(bare(schema.properties.databases.items.properties)).toEqual([])
    expect(bare(schema.properties.retention.properties)).toEqual([])
  })
})
