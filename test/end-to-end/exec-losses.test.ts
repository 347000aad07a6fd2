import { chmod, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { sample } from "../legacy/samples.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { holdDump } from "../support/held-dump.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { keysOf } from "../support/storage-contents.ts"

/** A prefix that hands all on as it is, but for what `script` does to it; "$@" is what it is to run. */
async function prefix(scene: Scene, script: string) {
  const file = join(scene.folder, "prefix")
  await writeFile(file, `#!/bin/sh\nPATH=${scene.server.binDir}:/usr/bin:/bin\n${script}\n`)
  await chmod(file, 0o755)
  return { PGSTOW_EXEC: file, PGSTOW_PG_BIN: "" }
}

/** What carries data, and not just a conversation. */
const bulk = "*ON_ERROR_STOP*|*--format=custom*"

/** Loses the end of what a program writes, and exits with 0. */
const losesOutput = `case "$*" in ${bulk}) "$@" | { head -c 8000000; cat >/dev/null; } ;; *) "$@" ;; esac`

/** Loses the end of what a program is to read, and exits with 0. */
const losesInput = (bytes: number, programs: string) =>
  `case "$*" in ${programs}) { head -c ${bytes}; cat >/dev/null; } | "$@"; true ;; *) "$@" ;; esac`

/** A database with a table that is big enough for segments. */
async function bigScene(): Promise<Scene> {
  const scene = await setScene()
  await scene.server.psql(
    "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 40000) i",
    scene.database,
  )
  return scene
}

async function copyOf({ server, database }: Scene): Promise<string> {
  const into = `${database}_copy`
  onTestFinished(async () => {
    for (const name of [into, `incomplete_${into}`]) await server.psql(`DROP DATABASE IF EXISTS "${name}"`)
  })
  return into
}

async function databases({ server, database }: Scene): Promise<string> {
  return server.psql(`SELECT datname FROM pg_database WHERE datname LIKE '%${database}_copy%'`)
}

const exit = "0; exit 0"

describe("a prefix that loses the end of what a program writes, and exits with 0", () => {
  const noZstd = { PATH: "/nonexistent" }
  test.for([
    ["main", ["--jobs", "1"], {}, "pg_dump wrote \\d+ bytes, and 8000000 came"],
    ["main, without a zstd program", ["--jobs", "1"], noZstd, "pg_dump wrote \\d+ bytes, and 8000000 came"],
    ["a segment", ["--jobs", "2"], {}, "psql wrote \\d+ bytes, and 8000000 came"],
  ] as const)("stores no backup: %s", async ([, jobs, more, message]) => {
    const scene = await bigScene()
    const env = { ...(await prefix(scene, losesOutput)), ...more }
    const failure = failureOfRun(await scene.run(["backup", ...jobs], env))
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toMatch(
      new RegExp(`^the output of .* did not come through .*prefix as it was: ${message}$`),
    )
    expect(await keysOf(openStorage(scene.storage, { env: {} }))).toEqual([])
  })

  test("stores no backup where only the program's last byte is lost", async () => {
    const scene = await setScene()
    const env = await prefix(scene, `case "$*" in *--format=custom*) "$@" | head -c -1 ;; *) "$@" ;; esac`)
    const failure = failureOfRun(await scene.run(["backup"], env))
    expect(failure.message).toMatch(/pg_dump wrote (\d+) bytes/)
    expect(await keysOf(openStorage(scene.storage, { env: {} }))).toEqual([])
  })

  test.for([
    ["what the program says of its end", `"$@" 2>&1 >&3 | head -n 1 >&2`],
    ["the exit code of a program that failed", `"$@" | head -c 100`],
  ])("stores no backup where it loses %s", async ([, script]) => {
    const scene = await setScene()
    const env = await prefix(
      scene,
      `case "$*" in *--format=custom*) exec 3>&1; ${script} ;; *) "$@" ;; esac; ${exit}`,
    )
    const failure = failureOfRun(await scene.run(["backup"], env))
    expect(failure.kind).toBe("postgres")
    expect(await keysOf(openStorage(scene.storage, { env: {} }))).toEqual([])
  })
})

describe("a prefix that loses the end of what a program is to read, and exits with 0", () => {
  test.for([
    ["main", ["--jobs", "1"], "pg_restore"],
    ["a segment", ["--jobs", "2"], "psql"],
  ] as const)("restores nothing as whole: %s", async ([, jobs, program]) => {
    const scene = await bigScene()
    await scene.json(["backup", ...jobs])
    const into = await copyOf(scene)
    const env = await prefix(scene, losesInput(8_000_000, bulk))
    const failure = failureOfRun(await scene.run(["restore", "latest", "--into", into, "--jobs", "2"], env))
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toMatch(
      new RegExp(`the input of ${program} did not come through .*: \\d+ bytes were sent, and \\d+ came`),
    )
    expect(await databases(scene)).toBe(`incomplete_${into}`)
  })

  test("restores nothing as whole where it cuts a segment between two rows", async () => {
    const scene = await bigScene()
    await scene.json(["backup", "--jobs", "2"])
    const into = await copyOf(scene)
    const cut = `case "$*" in *" FROM pstdin"*) { head -n 20000; cat >/dev/null; } | "$@" ;; *) "$@" ;; esac`
    const env = await prefix(scene, cut)
    const failure = failureOfRun(await scene.run(["restore", "latest", "--into", into, "--jobs", "2"], env))
    expect(failure.kind).toBe("postgres")
    expect(failure.message).toContain("the input of psql did not come through")
    expect(await databases(scene)).toBe(`incomplete_${into}`)
  })

  test("changes nothing in a database that exists", async () => {
    const scene = await bigScene()
    await scene.json(["backup", "--jobs", "2"])
    const into = await copyOf(scene)
    await scene.server.psql(`CREATE DATABASE ${into} TEMPLATE template0`)
    const env = await prefix(scene, losesInput(8_000_000, bulk))
    const failure = failureOfRun(await scene.run(["restore", "latest", "--into", into, "--yes"], env))
    expect(failure.message).toContain("the input of pg_restore did not come through")
    expect(await scene.server.psql("SELECT count(*) FROM pg_class WHERE relname = 'big'", into)).toBe("0")
  })

  test("restores nothing of a plain dump", async () => {
    const scene = await setScene()
    const into = await copyOf(scene)
    const plain = sample("sentinel_backup_20251215_163138.sql.gz")
    const env = await prefix(scene, losesInput(500, "*--file=-*"))
    const failure = failureOfRun(await scene.run(["restore", plain, "--into", into], env))
    expect(failure.message).toContain("the input of psql did not come through")
    expect(await databases(scene)).toBe("")
  })

  test("restores nothing by a list that was cut", async () => {
    const scene = await setScene()
    await scene.server.psql("CREATE TABLE a (); CREATE TABLE b ()", scene.database)
    await scene.json(["backup"])
    const into = await copyOf(scene)
    const env = await prefix(scene, losesInput(100, "*mktemp*"))
    const failure = failureOfRun(await scene.run(["restore", "latest", "--into", into], env))
    expect(failure.message).toMatch(/^a file did not come through /)
  })

  test("does not make a deep verification call the backup damaged", async () => {
    const scene = await setScene()
    await scene.server.psql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS i", scene.database)
    await scene.json(["backup"])
    const env = await prefix(scene, losesInput(50_000, "*--file=/dev/null*"))
    const failure = failureOfRun(await scene.run(["verify", "latest", "--deep"], env))
    expect(failure.message).toContain("the input of pg_restore did not come through")
    expect(failure.kind).toBe("postgres")
    expect(await scene.json(["list"])).toMatchObject({ backups: [{ state: "verified" }] })
  })
})

describe("a prefix that does not run what it is given", () => {
  test.for([
    [
      "and says nothing",
      "cat >/dev/null\nexec sleep 60",
      /^\S+prefix has not begun to run pg_dump within 3 s$/,
    ],
    ["and exits with 0", "exit 0", /^\S+prefix ended without having run pg_dump$/],
  ] as const)("%s: is given up", async ([, script, message]) => {
    const scene = await setScene()
    const env = { ...(await prefix(scene, script)), PGSTOW_EXEC_TIMEOUT: "3" }
    const startedAt = Date.now()
    const failure = failureOfRun(await scene.run(["backup"], env))
    expect(failure.message).toMatch(message)
    expect(failure.kind).toBe("postgres")
    expect(Date.now() - startedAt).toBeLessThan(20_000)
  })

  test("from some time on is given up too", async () => {
    const scene = await setScene()
    const script = `case "$*" in *--format=custom*) exec sleep 60 ;; *) exec "$@" ;; esac`
    const env = await prefix(scene, script)
    const failure = failureOfRun(await scene.run(["backup", "--exec-timeout", "3"], env))
    expect(failure.message).toContain("prefix has not begun to run pg_dump within 3 s")
  })

  test("and keeps psql's answers to itself is given up", async () => {
    const scene = await setScene()
    const env = await prefix(scene, `case "$*" in *--version*) exec "$@" ;; *) exec "$@" >/dev/null ;; esac`)
    const failure = failureOfRun(await scene.run(["backup", "--exec-timeout", "3"], env))
    expect(failure.message).toMatch(/no answer of psql came through \S+prefix$/)
  })
})

test("a prefix that loses answers of psql does not keep a backup waiting", async () => {
  const scene = await setScene()
  const env = await prefix(scene, `"$@" | { dd bs=65536 count=30 status=none; cat >/dev/null; }`)
  const failure = failureOfRun(await scene.run(["backup", "--exec-timeout", "3"], env))
  expect(failure.message).toMatch(/no answer of psql came through \S+prefix$/)
  expect(await keysOf(openStorage(scene.storage, { env: {} }))).toEqual([])
})

test.for(["exec", ""])("an interrupted backup leaves no program behind a prefix (%s)", async (exec) => {
  const scene = await setScene()
  const env = await prefix(scene, `${exec} "$@"`)
  const held = await holdDump(scene.server, scene.database)
  const running = scene.start(["backup"], env)
  await held.reached()
  running.kill("SIGTERM")
  const failure = failureOfRun(await running.finished)
  expect(failure.kind).toBe("terminated")
})
