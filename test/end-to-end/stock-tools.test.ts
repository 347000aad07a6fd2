import { execFile } from "node:child_process"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startPostgres } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"

const format = new URL("../../task/FORMAT.md", import.meta.url)

/** The commands that the format document gives for restoring without pgstow. */
async function documentedCommands(): Promise<string[]> {
  const text = await readFile(format, "utf8")
  const section = text.slice(text.indexOf("## Restoring with stock tools"))
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, commands]) => commands ?? "")
}

/** A backup's folder with the identity in it, and a server that knows nothing of the original's. */
async function setTable(scene: Scene) {
  const target = await startPostgres({ major: scene.server.major })
  onTestFinished(() => target.stop())
  const [id] = await readdir(join(scene.folder, "backups/orders"))
  const folder = join(scene.folder, "backups/orders", String(id))
  await writeFile(join(folder, "pgstow.key"), scene.identity, { mode: 0o600 })
  const env = { ...target.env, PATH: `${target.binDir}:${process.env.PATH}` }
  const run = async (command: string) =>
    promisify(execFile)("bash", ["-euo", "pipefail", "-c", command], { cwd: folder, env })
  return { target, run }
}

test("the commands of the format document restore a backup without pgstow", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  await scene.json(["backup", "--name", "orders"])

  const { target, run } = await setTable(scene)
  const [check = "", roles = "", restore = "", ...more] = await documentedCommands()
  expect(more).toHaveLength(1)
  expect((await run(check)).stdout).toMatch(/"sha256": "[0-9a-f]{64}"/)
  await run(roles)
  await run(restore)

  // As the document says: what is said of the database itself comes only under its old name.
  await target.psql(`
    ALTER DATABASE orders_restored SET TimeZone = 'Europe/Vienna';
    ALTER ROLE sample_reader IN DATABASE orders_restored SET search_path = shop, "Odd.Schema & Späße";
    REVOKE TEMPORARY ON DATABASE orders_restored FROM PUBLIC;
    GRANT CREATE ON DATABASE orders_restored TO "Sample ""Writer""";
    COMMENT ON DATABASE orders_restored IS 'one like real ones; "really"'`)
  expect(
    await compareDatabases({ server, name: database }, { server: target, name: "orders_restored" }),
  ).toEqual([])
})

test("the commands of the format document restore segments, too", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await server.psql(
    `CREATE TABLE events (id int PRIMARY KEY, at timestamptz);
     INSERT INTO events SELECT n, to_timestamp(n) FROM generate_series(1, 600000) AS n`,
    database,
  )
  await scene.json(["backup", "--name", "orders", "--jobs", "2"])
  const { target, run } = await setTable(scene)
  const [, , restore = "", segments = ""] = await documentedCommands()
  await run(restore.slice(0, restore.indexOf("\n")))
  await run(segments)
  expect(
    await compareDatabases({ server, name: database }, { server: target, name: "orders_restored" }),
  ).toEqual([])
})
