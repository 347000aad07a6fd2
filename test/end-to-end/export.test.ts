import { execFile } from "node:child_process"
import { readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

const program = `${process.execPath} ${new URL("../../task/main.ts", import.meta.url).pathname}`

/** A backup with large objects, odd names, and a table in several segments. */
async function backUp(
  major?: number,
): Promise<Scene & { readonly bash: (command: string) => Promise<string> }> {
  const scene = await setScene(major)
  const { server, database, folder } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  await server.psql(
    `CREATE TABLE big (n int PRIMARY KEY, text text);
     INSERT INTO big SELECT n, repeat(md5(n::text), 30) FROM generate_series(1, 60000) AS n;
     CREATE TABLE none (n int);
     SELECT lo_from_bytea(4000000000, 'a large object');
     SELECT lo_from_bytea(0, '')`,
    database,
  )
  await scene.json(["backup", "--name", "orders", "--jobs", "3"])
  const env = { ...scene.env, ...server.env, PATH: `${server.binDir}:${process.env.PATH}` }
  const bash = async (command: string) =>
    (await promisify(execFile)("bash", ["-euo", "pipefail", "-c", command], { cwd: folder, env })).stdout
  return { ...scene, bash }
}

async function compareRestored(scene: Scene, restored: string) {
  onTestFinished(async () => void (await scene.server.psql(`DROP DATABASE IF EXISTS ${restored}`)))
  return compareDatabases(
    { server: scene.server, name: scene.database },
    { server: scene.server, name: restored },
  )
}

describe.for(newestMajor)("PostgreSQL %i", (major) => {
  test("an exported directory has every row, for plain pg_restore in several streams", async () => {
    const scene = await backUp(major)
    const restored = `${scene.database}_dir`
    await scene.json(["export", "latest", "--out", "orders.dir"])
    await scene.bash(
      `pg_restore --list orders.dir | grep -c 'TABLE DATA public big'
       createdb --template=template0 ${restored}
       pg_restore --exit-on-error --format=directory --jobs=3 -d ${restored} orders.dir`,
    )
    expect((await stat(join(scene.folder, "orders.dir"))).mode & 0o777).toBe(0o700)
    const differences = await compareRestored(scene, restored)
    expect(differences.filter((line) => !/database/i.test(line))).toEqual([])
  })

  test("an exported file has every row, too, and the same comes out of cat", async () => {
    const scene = await backUp(major)
    const restored = `${scene.database}_file`
    await scene.json(["export", "latest", "--out", "orders.dump", "--format", "custom"])
    await scene.bash(
      `createdb --template=template0 ${restored}
       pg_restore --exit-on-error --jobs=3 -d ${restored} orders.dump`,
    )
    const differences = await compareRestored(scene, restored)
    expect(differences.filter((line) => !/database/i.test(line))).toEqual([])

    const piped = `${scene.database}_piped`
    await scene.bash(
      `createdb --template=template0 ${piped}
       ${program} cat latest | pg_restore --exit-on-error -d ${piped}`,
    )
    expect((await compareRestored(scene, piped)).filter((line) => !/database/i.test(line))).toEqual([])
  })
})

test("cat gives an object's own bytes: COPY text, and SQL that makes the roles", async () => {
  const scene = await backUp()
  const segments = await scene.run(["cat", "latest", "data/0001"])
  const lines = segments.stdout.trimEnd().split("\n")
  expect(lines[0]).toMatch(/^\d+\t[0-9a-f]{960}$/)
  const globals = await scene.run(["globals", "latest"])
  expect(globals.stdout).toContain("CREATE ROLE")
  expect((await scene.run(["cat", "latest", "globals"])).stdout).toBe(globals.stdout)
  const main = await scene.run(["cat", "latest", "main"])
  expect(main.stdout.slice(0, 5)).toBe("PGDMP")
  expect(main.stderr).toContain("lacks the rows of")
  const unknown = failureOfRun(await scene.run(["cat", "latest", "data/9"]))
  expect(unknown.kind).toBe("notFound")
  expect(unknown.message).toContain('no object "data/9"')
})

test("the roles of a backup by pgstow 0.1.0 are not printed to be run", async () => {
  const scene = await backUp()
  const [id = ""] = await readdir(join(scene.folder, "backups/orders"))
  const manifest = join(scene.folder, "backups/orders", id, "manifest.json")
  await writeFile(
    manifest,
    (await readFile(manifest, "utf8")).replace(/"writtenBy": "[^"]*"/, '"writtenBy": "pgstow 0.1.0"'),
  )
  const refused = await scene.run(["globals", "latest"])
  expect(refused.stdout).toBe("")
  expect(failureOfRun(refused).message).toContain("may hold SQL that is not about roles")
})

test("an export that fails leaves nothing that looks like one", async () => {
  const scene = await backUp()
  const [id = ""] = await readdir(join(scene.folder, "backups/orders"))
  const segment = join(scene.folder, "backups/orders", id, "data/0001.copy.zst.age")
  const bytes = await readFile(segment)
  bytes[bytes.length - 10] = (bytes.at(-10) ?? 0) ^ 1
  await writeFile(segment, bytes)
  for (const args of [
    ["--out", "a.dir"],
    ["--out", "a.dump", "--format", "custom"],
  ])
    expect((await scene.run(["export", "latest", ...args])).exitCode).toBe(6)
  expect(await readdir(scene.folder)).not.toContain("a.dump")
  expect(await readdir(join(scene.folder, "a.dir"))).not.toContain("toc.dat")
  expect((await scene.run(["cat", "latest"])).exitCode).toBe(6)
})

test("an export takes no place that is taken", async () => {
  const scene = await backUp()
  for (const args of [
    ["--out", scene.folder],
    ["--out", join(scene.folder, "taken"), "--format", "custom"],
  ]) {
    await writeFile(join(scene.folder, "taken"), "mine")
    const failure = failureOfRun(await scene.run(["export", "latest", ...args]))
    expect(failure.kind).toBe("usage")
    expect(failure.message).toMatch(/is not empty|exists already/)
  }
  expect(await readFile(join(scene.folder, "taken"), "utf8")).toBe("mine")
})

test("cat's output that ends early is an error", async () => {
  const scene = await backUp()
  expect(await scene.bash(`${program} cat latest 2>&1 >/dev/full || true`)).toContain("could not be written")
  const stopped = await scene.bash(`{ ${program} cat latest 2>&3 | head -c 5 >/dev/null; } 3>&1 || true`)
  expect(stopped).toContain("the program that reads the output stopped early")
})
