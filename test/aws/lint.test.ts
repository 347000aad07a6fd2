import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { everything } from "../infra/everything.ts"
import { synthesize } from "../infra/synthesize.ts"
import { awsTools } from "./aws-tools.ts"

const lint = (file: string) =>
  // W3005: dependencies that a reference implies already. The library writes them.
  spawnSync(join(awsTools(), "cfn-lint"), ["--ignore-checks", "W3005", "--", file], { encoding: "utf8" })

it.each(["copy-bucket.json", "copy-existing.json"])("cfn-lint finds nothing in %s", (file) => {
  expect(lint(join(import.meta.dirname, "../../infra", file))).toMatchObject({
    status: 0,
    stdout: "",
  })
})

it.each([
  ["one database", { databases: [{ name: "orders", connection: { urlSecret: "pgstow/orders" } }] }],
  ["everything", everything],
  [
    "private subnets, what an earlier stack left, and tags",
    {
      databases: [{ name: "orders", connection: { urlSecret: "pgstow/orders" } }],
      network: {
        vpcId: "vpc-0a1b2c3d",
        subnetIds: ["subnet-0a1b2c3d"],
        routeTableIds: ["rtb-0a1b2c3d"],
        endpoints: true,
        letInto: [{ securityGroupId: "sg-0a1b2c3d" }],
      },
      bucket: {
        existing: {
          name: "backups",
          kmsKeyArn: "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
        },
      },
      identity: { secret: "backup-key/age" },
      tags: { team: "shop" },
    },
  ],
])("cfn-lint finds nothing in a template with %s", (_, settings) => {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-lint-"))
  try {
    const file = join(folder, "template.json")
    writeFileSync(file, JSON.stringify(synthesize(settings).template.toJSON()))
    const { status, stdout, stderr } = lint(file)
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
