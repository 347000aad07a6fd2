import { describe, expect, onTestFinished, test } from "vitest"
import { setBackupScene } from "../support/backup-scene.ts"
import { clientsWith } from "../support/client-folder.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { holdDump, waitingDumps } from "../support/held-dump.ts"
import { startPostgres } from "../support/postgres.ts"

describe("a dump that stops midway leaves no backup, and nothing else", () => {
  test.each([
    ["pg_dump", "postgres", /^pg_dump of .* failed: it was ended by SIGKILL$/],
    ["zstd", "postgres", /^compressing the output of pg_dump failed: zstd was ended by SIGKILL$/],
    ["psql", "postgres", /^lost the connection to .*: psql was ended by SIGKILL$/],
  ])("where %s is killed", async (name, kind, message) => {
    const { server, database, start, expectNothing } = await setBackupScene()
    const held = await holdDump(server, database)
    const running = start(["backup"])
    await held.reached()
    const victims = running.processes().filter((each) => each.name === name)
    expect(victims).toHaveLength(1)
    for (const { pid } of victims) process.kill(pid, "SIGKILL")
    const failure = failureOfRun(await running.finished)
    expect(failure.message).toMatch(message)
    expect(failure.kind).toBe(kind)
    expect(failure.hint).toContain("memory")
    await expectNothing()
  })

  test("where the server ends the dump's connection", async () => {
    const { server, database, start, expectNothing } = await setBackupScene()
    const held = await holdDump(server, database)
    const running = start(["backup"])
    await held.reached()
    await server.psql(`SELECT pg_terminate_backend(pid) FROM (${waitingDumps}) AS waiting`, database)
    const failure = failureOfRun(await running.finished)
    expect(failure.message).toMatch(/^pg_dump of .* failed: .*terminating connection/)
    expect(failure.kind).toBe("postgres")
    await expectNothing()
  })

  test("where the server crashes", async () => {
    const server = await startPostgres()
    onTestFinished(() => server.stop())
    const { database, start, expectNothing } = await setBackupScene(server)
    const held = await holdDump(server, database)
    const running = start(["backup"])
    await held.reached()
    await server.crash()
    const failure = failureOfRun(await running.finished)
    expect(failure.message).toMatch(/^lost the connection to .*: server closed the connection/)
    expect(failure.kind).toBe("postgres")
    await expectNothing()
  })

  test.each([
    ["its header", `"$real" "$@" | head -c 300`],
    ["all of its output", `"$real" "$@"`],
  ])("where pg_dump fails after %s", async (_, dump) => {
    const { server, run, expectNothing } = await setBackupScene()
    const script = `${dump}\necho "pg_dump: error: query failed: ERROR:  out of memory" >&2\nexit 1`
    const clients = await clientsWith(server, "pg_dump", script)
    const failure = failureOfRun(await run(["backup"], { PGSTOW_PG_BIN: clients }))
    expect(failure.message).toMatch(/^pg_dump of .* failed: out of memory$/)
    expect(failure.kind).toBe("postgres")
    await expectNothing()
  })

  test("where the roles can't be read, though the database could be", async () => {
    const { server, database, run, expectNothing } = await setBackupScene()
    const role = `reader_of_${database}`
    await server.psql(
      `CREATE ROLE ${role} LOGIN PASSWORD 'pw';
       GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role};
       REVOKE SELECT ON pg_auth_members FROM PUBLIC`,
      database,
    )
    onTestFinished(() => server.psql(`DROP OWNED BY ${role}; DROP ROLE ${role}`, database).then(() => {}))
    const url = `postgres://${role}:pw@127.0.0.1:${server.port}/${database}`
    const failure = failureOfRun(await run(["backup"], { DATABASE_URL: url }))
    expect(failure.message).toMatch(/: permission denied for (table|relation) pg_auth_members$/)
    expect(failure.kind).toBe("postgres")
    await expectNothing()
  })

  test("where the program itself is killed, nothing is taken for a backup", async () => {
    const { server, database, start, expectNoBackup, bucket } = await setBackupScene()
    const held = await holdDump(server, database)
    const running = start(["backup"])
    await held.reached()
    running.kill("SIGKILL")
    await running.finished.catch(() => {}) // Its children go once they find it gone.
    await held.release()
    await expectNoBackup()
    expect(await bucket.keys()).toEqual([])
  })
})
