import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { type Scene, setScene } from "../support/scene.ts"

/**
 * Programs that hand on what docker and ssh hand on: arguments, input, output and the exit code, and nothing of
 * the environment. What they were called with is in the file "called".
 */
async function makePrefixes({ folder, server }: Scene): Promise<string> {
  const bin = join(folder, "prefixes")
  await mkdir(bin)
  const clean = `env -i PATH="${server.binDir}:/usr/bin:/bin"`
  const log = `printf '%s\\n' "$*" >>"${folder}/called"`
  const programs = {
    docker: `[ "$1 $2 $3" = "exec -i db" ] || { echo "no such container" >&2; exit 125; }\nshift 3\nexec ${clean} "$@"`,
    ssh: `[ "$1" = db.example.com ] || exit 255\nshift\nexec ${clean} sh -c "$*"`,
  }
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${log}\n${body}\n`)
    await chmod(join(bin, name), 0o755)
  }
  return bin
}

test.each(["docker exec -i db", "ssh db.example.com"])(
  "a backup and a restore through %s",
  async (prefix) => {
    const scene = await setScene()
    const { server, database, folder } = scene
    const env = { PATH: `${await makePrefixes(scene)}:/usr/bin:/bin`, PGSTOW_EXEC: prefix, PGSTOW_PG_BIN: "" }
    await server.psql(`CREATE TABLE "it's $odd" AS SELECT generate_series(1, 1000) AS a`, database)
    await scene.json(["backup"], env)
    expect(await scene.json(["verify", "latest", "--deep"], env)).toMatchObject([{ kind: "deep-verified" }])
    const into = `${database}_new`
    onTestFinished(() => server.psql(`DROP DATABASE IF EXISTS ${into}`).then(() => {}))
    await scene.json(["restore", "latest", "--into", into], env)
    expect(await server.psql(`SELECT count(*) FROM "it's $odd"`, into)).toBe("1000")

    const called = await readFile(join(folder, "called"), "utf8")
    for (const program of ["psql", "pg_dump", "pg_restore"]) expect(called).toContain(program)
    expect(called).not.toContain(server.password)
  },
)

test.each([
  ["docker exec -i other", 3, "no such container"],
  ["docker exec db", 2, "passes no input on without -i"],
  ["docker exec -it db", 2, "with a terminal (-t)"],
  ["nonexistent exec -i db", 3, "nonexistent is not installed"],
])("%s: %i, and why", async (exec, exitCode, message) => {
  const scene = await setScene()
  const env = { PATH: `${await makePrefixes(scene)}:/usr/bin:/bin`, PGSTOW_PG_BIN: "" }
  const result = await scene.run(["backup", "--exec", exec], env)
  expect(result.stderr).toContain(message)
  expect(result.exitCode).toBe(exitCode)
})
