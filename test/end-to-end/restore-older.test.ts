import { execFile } from "node:child_process"
import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, onTestFinished, test } from "vitest"
import { sample, samples } from "../legacy/samples.ts"
import { type Scene, setScene } from "../support/scene.ts"

const [emiti, , plain] = samples

describe.each(samples)("$name", ({ name, keyFile, rows }) => {
  const key = keyFile === undefined ? [] : ["--legacy-key-file", keyFile]

  test("restores from the catalog to every row", async () => {
    const scene = await setScene()
    await scene.json(["import", sample(name), ...key, "--name", "older"])
    const into = newDatabase(scene)
    expect(await scene.json(["restore", "latest", "--into", into])).toMatchObject({ state: "restored", into })
    expect(await countRows(scene, into, rows)).toEqual(rows)
  })

  test("restores and verifies from where it lies", async () => {
    const scene = await setScene()
    expect(await scene.json(["verify", sample(name), ...key])).toMatchObject({
      tables: Object.keys(rows).length,
    })
    const into = newDatabase(scene)
    await scene.json(["restore", sample(name), ...key, "--into", into])
    expect(await countRows(scene, into, rows)).toEqual(rows)
  })
})

test("into a database that exists: only with a yes, all of it or nothing", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await server.psql("CREATE TABLE assets (a int)", database)
  const args = ["restore", sample(plain?.name ?? ""), "--into", database]
  const unasked = await scene.run(args)
  expect(unasked.exitCode).toBe(10)
  expect(unasked.stderr).toContain("exists (1 table")
  const refused = await scene.run([...args, "--yes"])
  expect(refused.exitCode).toBe(3)
  expect(refused.stderr).toContain('relation \\"assets\\" already exists')
  expect(await server.psql("SELECT count(*) FROM assets", database)).toBe("0")
  await server.psql("DROP TABLE assets", database)
  await scene.json(args)
  expect(await server.psql("SELECT count(*) FROM assets", database)).toBe("3000")
})

test("a wrong key, or a dump that PostgreSQL refuses, leaves no new database", async () => {
  const scene = await setScene()
  const into = newDatabase(scene)
  const wrong = await scene.run(["restore", sample(emiti?.name ?? ""), "--into", into], {
    ENCRYPTION_KEY: "x",
  })
  expect(wrong.exitCode).toBe(7)
  const dump = join(scene.folder, "dump.sql")
  const hostile =
    "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\\! touch pwned\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
  await writeFile(dump, hostile)
  const refused = await scene.run(["restore", dump, "--into", into])
  expect(refused.exitCode).toBe(6)
  expect(refused.stderr).toContain("the dump holds a command to psql")
  expect(await scene.server.psql(`SELECT datname FROM pg_database WHERE datname LIKE '%${into}%'`)).toBe("")
  expect(await readdir(scene.folder)).toEqual(["dump.sql"])
  const chosen = await scene.run(["restore", dump, "--into", into, "--table", "assets"])
  expect(chosen.exitCode).toBe(2)
})

test("the command of the format document restores an imported backup without pgstow", async () => {
  const scene = await setScene()
  await scene.json(["import", sample(plain?.name ?? ""), "--name", "older"])
  const format = await promisify(execFile)("cat", [join(import.meta.dirname, "../../task/FORMAT.md")])
  const [, command = ""] = /## An imported backup.*?```sh\n(.*?)```/s.exec(format.stdout) ?? []
  const [id] = await readdir(join(scene.folder, "backups/older"))
  const cwd = join(scene.folder, "backups/older", String(id))
  await writeFile(join(cwd, "pgstow.key"), scene.identity, { mode: 0o600 })
  const env = { ...scene.server.env, PATH: `${scene.server.binDir}:${process.env.PATH}` }
  const line = command.replace("orders_restored", scene.database)
  await promisify(execFile)("bash", ["-euo", "pipefail", "-c", line], { cwd, env })
  expect(await scene.server.psql("SELECT count(*) FROM assets", scene.database)).toBe("3000")
})

function newDatabase({ server, database }: Scene): string {
  const name = `${database}_older`
  onTestFinished(() => server.psql(`DROP DATABASE IF EXISTS "${name}"`).then(() => {}))
  return name
}

async function countRows({ server }: Scene, database: string, rows: Readonly<Record<string, number>>) {
  const counts = Object.keys(rows).map(async (table) => [
    table,
    Number(await server.psql(`SELECT count(*) FROM ${table}`, database)),
  ])
  return Object.fromEntries(await Promise.all(counts)) as unknown
}
