import { execFile } from "node:child_process"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startPostgres } from "../support/postgres.ts"
import { run } from "../support/programs.ts"
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

test("the format document's script restores segments, too, whatever their names", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await server.psql(
    String.raw`CREATE TABLE events (id int PRIMARY KEY, at timestamptz);
     INSERT INTO events SELECT n, to_timestamp(n) FROM generate_series(1, 600000) AS n;
     CREATE SCHEMA "it's ""odd""";
     CREATE TABLE "it's ""odd"""."new
line \ $(x) 'y'" ("a ""b" int, "c\d" text);
     INSERT INTO "it's ""odd"""."new
line \ $(x) 'y'" SELECT n, repeat('ä', 200) FROM generate_series(1, 80000) AS n`,
    database,
  )
  await scene.json(["backup", "--name", "orders", "--jobs", "2"])
  const { target, run } = await setTable(scene)
  const [, , , script = ""] = await documentedCommands()
  await run(`cat >restore.sh <<'END'\n${script}END\nbash restore.sh orders_restored`)
  expect(
    await compareDatabases({ server, name: database }, { server: target, name: "orders_restored" }),
  ).toEqual([])
})

test("the format document's look at the roles of older backups finds what is hidden in them", async () => {
  const text = await readFile(format, "utf8")
  const section = text.slice(text.indexOf("## Roles in backups of pgstow 0.1.0"))
  const [, command = ""] = /```sh\n(.*?)```/s.exec(section) ?? []
  const scene = await setScene()
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const look = async (sql: string) => {
    const compressed = run("zstd", ["-c"], Buffer.from(sql))
    await writeFile(
      join(scene.folder, "globals.sql.zst.age"),
      run("age", ["-r", scene.recipient], compressed),
    )
    await writeFile(join(scene.folder, "pgstow.key"), scene.identity, { mode: 0o600 })
    const { stdout } = await promisify(execFile)("bash", ["-c", `${command.trim()} || true`], {
      cwd: scene.folder,
    })
    return stdout
  }
  const dumpAll = () =>
    run(join(server.binDir, "pg_dumpall"), ["--roles-only", "--dbname", server.url("postgres")]).toString()

  await server.psql(`
    CREATE ROLE "it's ""odd"" ☂"; CREATE ROLE app LOGIN PASSWORD 'x'; GRANT "it's ""odd"" ☂" TO app;
    ALTER ROLE app SET search_path TO 'a;b', '"c"', E'd\\\\', '--';
    COMMENT ON ROLE app IS 'it''s; \\q'`)
  expect(await look(dumpAll())).toBe("")
  await server.psql(`
    ALTER ROLE app SET search_path TO E'x\nCREATE ROLE rdsadmin ;';
    ALTER ROLE app SET application_name TO '; ALTER ROLE app SUPERUSER; --'`)
  const filtered = dumpAll().replace(/^CREATE ROLE rdsadmin ;.*\n/m, "")
  expect(await look(filtered)).toMatch(/^\d+:ALTER ROLE app SET search_path TO 'x\n$/)
})
