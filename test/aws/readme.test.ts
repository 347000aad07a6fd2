import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { type Cloud, startCloud } from "./cloud.ts"

const readme = readFileSync(resolve(import.meta.dirname, "../../infra/README.md"), "utf8")

let cloud: Cloud

beforeAll(async () => {
  cloud = await startCloud()
}, 900_000)
afterAll(() => cloud?.stop(), 60_000)

it("the README's deployment, word by word, backs a database up and brings it back", async () => {
  const { server } = cloud
  await server.psql("CREATE TABLE sold (id int); INSERT INTO sold SELECT generate_series(1, 1000)", "orders")
  await cloud.aws(
    "secretsmanager",
    "delete-secret",
    "--secret-id",
    "pgstow/orders",
    "--force-delete-without-recovery",
  )

  const [, commands = ""] = /^## Deploy\n.*?```sh\n(.*?)```/ms.exec(readme) ?? []
  const lines = commands.trim().split("\n")
  expect(lines).toHaveLength(6)
  // Docker is a program that does nothing: the emulator has the program already, whatever the image is called.
  const user = `export DATABASE_URL='${server.url("orders")}' CDK_DOCKER=${join(import.meta.dirname, "no-docker")} CDK_OUTPUT=$HOME/cdk.out`
  for (const line of lines) {
    const { exitCode, stdout, stderr } = await cloud.shell(
      `${user}; ${line} ${/cdk deploy/.test(line) ? "--require-approval never" : ""}`,
    )
    if (exitCode !== 0) throw new Error(`${line} exited with ${exitCode}: ${stderr}\n${stdout}`)
    if (/cdk deploy/.test(line)) await cloud.mendSecrets()
  }
  expect(await compareDatabases({ server, name: "orders" }, { server, name: "orders_restored" })).toEqual([])
}, 900_000)
