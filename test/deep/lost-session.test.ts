import { expect, test } from "vitest"
import { setBackupScene } from "../support/backup-scene.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { holdDump } from "../support/held-dump.ts"

test("a backup whose snapshot's session the server ends, stops within a heartbeat and leaves nothing", async () => {
  const { server, database, start, expectNothing } = await setBackupScene()
  const held = await holdDump(server, database)
  const running = start(["backup"])
  await held.reached()
  // The one that holds the dump is idle in a transaction too, but has a lock on pg_largeobject.
  await server.psql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND state = 'idle in transaction'
        AND pid NOT IN (SELECT pid FROM pg_locks WHERE relation = 'pg_largeobject'::regclass)`,
    database,
  )
  const failure = failureOfRun(await running.finished)
  expect(failure.message).toMatch(/^lost the connection to .*terminating connection/)
  expect(failure.kind).toBe("postgres")
  await expectNothing()
})
