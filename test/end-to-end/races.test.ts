import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest"
import * as z from "zod"
import { openStorage } from "../../task/storage/open-storage.ts"
import { type BackupScene, setBackupScene } from "../support/backup-scene.ts"
import { clientsWith } from "../support/client-folder.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun, logOf } from "../support/failure-line.ts"
import { holdCopies } from "../support/held-copies.ts"
import { holdDump } from "../support/held-dump.ts"
import type { Running } from "../support/pgstow.ts"
import { type PostgresCluster, type PostgresServer, startPostgres } from "../support/postgres.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"
import { keysOf } from "../support/storage-contents.ts"
import { startWebhook } from "../support/webhook.ts"

/** Two tables that leave pg_dump's stream, `first` before `second`, in rows of a page each, which take no time to make. */
const bigTables = [2_600, 2_400]
  .map(
    (rows, index) => `
      CREATE TABLE ${index === 0 ? "first" : "second"} (n int, text text, more text DEFAULT 'more');
      ALTER TABLE ${index === 0 ? "first" : "second"} ALTER text SET STORAGE PLAIN;
      INSERT INTO ${index === 0 ? "first" : "second"} SELECT n, rpad(n::text, 7000, 'x') FROM generate_series(1, ${rows}) AS n;`,
  )
  .join("")

/** What waits for a lock that lets nobody else have one meanwhile. */
const changes = [
  ["is emptied", "TRUNCATE second"],
  [
    "gets another shape",
    "ALTER TABLE second ADD COLUMN added int DEFAULT 7, ALTER n TYPE bigint, DROP COLUMN text",
  ],
  ["is dropped", "DROP TABLE second"],
] as const

const shown = z.object({
  manifest: z.object({
    id: z.string(),
    objects: z.array(z.object({ name: z.string(), kind: z.string() })),
  }),
})

async function setRace(from: PostgresServer) {
  const scene = await setBackupScene(from)
  const { server, database } = scene
  await server.psql(bigTables, database)
  const waiting = () =>
    server.psql(
      `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE datname = current_database() AND NOT granted AND mode = 'AccessExclusiveLock'`,
      database,
    )
  return {
    ...scene,
    /** A copy of the database as it is now, while nobody else is in it. */
    copyDatabase: async () => {
      const copy = `${database}_copy`
      await server.psql(`CREATE DATABASE ${copy} TEMPLATE ${database}`)
      onTestFinished(async () => void (await server.psql(`DROP DATABASE ${copy}`)))
      return copy
    },
    /** Starts to change the database, and gives how that ends once it waits for a lock. */
    queue: async (change: string | (() => Promise<void>)) => {
      const before = await waiting()
      const changing = typeof change === "string" ? server.psql(change, database) : change()
      const outcome = changing.then(
        () => "done" as const,
        () => "given up" as const,
      )
      while ((await waiting()) === before) await sleep(20)
      return { outcome }
    },
    /** Fails the test unless the storages hold one backup and nothing else, of so many segments, equal to a database. */
    expectBackup: async (original: string, segments: number) => {
      const { manifest } = shown.parse(await scene.json(["show", "latest"]))
      expect(manifest.objects.filter(({ kind }) => kind === "segment")).toHaveLength(segments)
      const wanted = ["manifest.json", ...manifest.objects.map(({ name }) => name)]
      const keys = await keysOf(openStorage(scene.storage, { env: {} }))
      for (const kept of [keys, await scene.bucket.keys()])
        expect(kept.filter((key) => !key.includes("/checks/")).toSorted()).toEqual(
          wanted.map((name) => `${database}/${manifest.id}/${name}`).toSorted(),
        )
      expect(scene.bucket.endpoint.openUploads()).toEqual([])
      const { into } = z.object({ into: z.string() }).parse(await scene.json(["restore", "latest"]))
      onTestFinished(async () => void (await server.psql(`DROP DATABASE "${into}"`)))
      expect(await compareDatabases({ server, name: original }, { server, name: into })).toEqual([])
    },
  }
}

/** What a good backup warns of. */
async function warningsOf(running: Running): Promise<string[]> {
  const { exitCode, stdout, stderr } = await running.finished
  expect(exitCode, stderr).toBe(0)
  // One result, and nothing beside it.
  expect(JSON.parse(stdout)).toMatchObject({ storages: [{ state: "verified" }, { state: "verified" }] })
  return logOf(stderr).flatMap(({ level, message }) => (level === "warn" ? [message] : []))
}

describe.for(majors)("where somebody comes between two locks of a backup of PostgreSQL %i", (major) => {
  /** A backup that has come to where one table has still to be locked by its second stream. */
  async function startHeld(lockWaitSeconds: number) {
    const scene = await setRace(await sharedPostgres(major))
    const dump = await holdDump(scene.server, scene.database)
    const copies = await holdCopies(scene.server, "before")
    const told = await startWebhook()
    onTestFinished(() => told.stop())
    const running = scene.start(["backup", "--jobs", "2", "--lock-wait", String(lockWaitSeconds), "--json"], {
      PGSTOW_PG_BIN: copies.folder,
      PGSTOW_NOTIFY: `format=webhook,level=all,${told.origin}`,
    })
    await Promise.all([dump.reached(), copies.reached()])
    const release = () => Promise.all([dump.release(), copies.release()])
    return { ...scene, running, told, release }
  }

  test.each(changes)("the table %s, and a backup of what it is then starts over", async (_, change) => {
    // The second attempt waits as long for the change to be made.
    const race = await startHeld(2)
    const { outcome } = await race.queue(change)
    await race.release()
    expect(await warningsOf(race.running)).toEqual([
      expect.stringMatching(/another session waits to change public\.second, .* starts over, in one stream$/),
    ])
    expect(await outcome).toBe("done")
    expect(race.told.seen).toHaveLength(1)
    await race.expectBackup(race.database, 0)
  })

  test("and gives up soon, the backup goes on", async () => {
    const race = await startHeld(60)
    const { outcome } = await race.queue("SET lock_timeout = '3s'; TRUNCATE second")
    await race.release()
    expect(await warningsOf(race.running)).toEqual([])
    expect(await outcome).toBe("given up")
    await race.expectBackup(race.database, 2)
  })

  describe("and keeps the table locked,", () => {
    async function startLocked(lockWaitSeconds: number) {
      const race = await startHeld(lockWaitSeconds)
      const holder = await openTestSession(race.server, connectionTo(race.server, race.database))
      onTestFinished(() => holder.close())
      await race.queue(() => holder.execute("BEGIN; TRUNCATE second"))
      await race.release()
      return race
    }

    test("the backup fails the second time, and leaves nothing", async () => {
      const race = await startLocked(1)
      const failure = failureOfRun(await race.running.finished)
      expect(failure.message).toMatch(/another session keeps public\.second locked$/)
      expect(race.told.seen).toHaveLength(1)
      await race.expectNothing()
    })

    test("a signal ends the second attempt, and leaves nothing", async () => {
      const race = await startLocked(3)
      while (!race.running.stderr().includes("starts over")) await sleep(20)
      await sleep(500)
      race.running.kill("SIGINT")
      expect(failureOfRun(await race.running.finished).kind).toBe("interrupted")
      await race.expectNothing()
    })
  })

  test("before pg_dump has its own, the backup starts over too", async () => {
    const race = await setRace(await sharedPostgres(major))
    const clients = await clientsWith(
      race.server,
      "pg_dump",
      `folder=$(dirname "$0"); touch "$folder/reached"
       until [ -e "$folder/release" ]; do sleep 0.05; done
       exec "$real" "$@"`,
    )
    const running = race.start(["backup", "--jobs", "1", "--lock-wait", "1", "--json"], {
      PGSTOW_PG_BIN: clients,
    })
    while (!existsSync(join(clients, "reached"))) await sleep(20)
    const { outcome } = await race.queue("ALTER TABLE second ADD COLUMN added int")
    await writeFile(join(clients, "release"), "")
    expect(await warningsOf(running)).toEqual([
      expect.stringMatching(/another session waits to change public\.second, .* starts over, in one stream$/),
    ])
    expect(await outcome).toBe("done")
    await race.expectBackup(race.database, 0)
  })
})

describe.for(majors)("while PostgreSQL %i is backed up by two streams", (major) => {
  test("changes to a table that both have locked come after a backup of what it was", async () => {
    const race = await setRace(await sharedPostgres(major))
    const original = await race.copyDatabase()
    const copies = await holdCopies(race.server, "middle")
    const running = race.start(["backup", "--jobs", "2", "--json"], { PGSTOW_PG_BIN: copies.folder })
    await copies.reached(2)
    const queued: Promise<string>[] = []
    for (const [, change] of changes) queued.push((await race.queue(change)).outcome)
    await copies.release()
    expect(await warningsOf(running)).toEqual([])
    expect(await Promise.all(queued)).toEqual(["done", "done", "done"])
    await race.expectBackup(original, 2)
  })

  test("a change that began before is waited for, and is in the backup", async () => {
    const race = await setRace(await sharedPostgres(major))
    const holder = await openTestSession(race.server, connectionTo(race.server, race.database))
    onTestFinished(() => holder.close())
    await holder.execute("BEGIN")
    await holder.execute("TRUNCATE first, second")
    await holder.execute("INSERT INTO second SELECT n, rpad('new', 7000) FROM generate_series(1, 2500) AS n")
    const running = race.start(["backup", "--jobs", "2", "--json"])
    const waiting =
      "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock' AND relation = 'first'::regclass"
    while ((await holder.query(waiting)).length === 0) await sleep(20)
    await holder.execute("COMMIT")
    expect(await warningsOf(running)).toEqual([])
    await race.expectBackup(race.database, 1)
  })

  test("the loss of the session with the snapshot ends it, and leaves nothing", async () => {
    const race = await setRace(await sharedPostgres(major))
    const dump = await holdDump(race.server, race.database)
    const copies = await holdCopies(race.server, "before")
    const running = race.start(["backup", "--jobs", "2"], { PGSTOW_PG_BIN: copies.folder })
    await Promise.all([dump.reached(), copies.reached()])
    await terminate(
      race,
      `state = 'idle in transaction'
       AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND relation = 'first'::regclass)`,
    )
    await copies.release()
    const failure = failureOfRun(await running.finished)
    expect(failure.message).toMatch(/^lost the connection to .*: terminating connection/)
    await dump.release()
    await race.expectNothing()
  })

  test.each([
    [
      "the server ends",
      /^copying "public"\."\w+" of .* failed: (terminating connection|connection to server was lost)/,
    ],
    ["is killed", /^copying "public"\."\w+" of .* failed: it was ended by SIGKILL$/],
  ])("the copy of a segment that %s ends it, and leaves nothing", async (how, message) => {
    const race = await setRace(await sharedPostgres(major))
    const copies = await holdCopies(race.server, "middle")
    const running = race.start(["backup", "--jobs", "2"], { PGSTOW_PG_BIN: copies.folder })
    await copies.reached()
    if (how === "is killed") {
      const [copy] = running.processes().filter(({ args }) => args.includes("ON_ERROR_STOP=1"))
      process.kill(copy?.pid ?? Number.NaN, "SIGKILL")
    } else await terminate(race, "query ~ '^COPY .*(first|second)'")
    await copies.release()
    const failure = failureOfRun(await running.finished)
    expect(failure.message).toMatch(message)
    await race.expectNothing()
  })
})

/** Ends sessions of the database. */
async function terminate({ server, database }: BackupScene, which: string): Promise<void> {
  const ended = await server.psql(
    `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'pgstow' AND (${which})`,
    database,
  )
  expect(Number(ended)).toBeGreaterThan(0)
}

describe.for(majors)("a replica of PostgreSQL %i", (major) => {
  let primary: PostgresCluster
  let replica: PostgresCluster
  beforeAll(async () => {
    primary = await startPostgres({ major, settings: { wal_level: "replica", max_wal_senders: "4" } })
    replica = await startPostgres({ major, primary, settings: { max_standby_streaming_delay: "100ms" } })
  })
  afterAll(async () => {
    await replica.stop()
    await primary.stop()
  })

  /** A backup of the replica that is under way while the primary vacuums what it sees. */
  async function startVacuumed() {
    const race = await setRace(primary)
    const original = await race.copyDatabase()
    const caughtUp = async () => {
      const lsn = await primary.psql("SELECT pg_current_wal_lsn()")
      while ((await replica.psql(`SELECT pg_last_wal_replay_lsn() >= '${lsn}'`)) !== "t") await sleep(20)
    }
    await caughtUp()
    const copies = await holdCopies(replica, "before")
    const running = race.start(["backup", "--jobs", "2", "--json"], {
      PGSTOW_PG_BIN: copies.folder,
      DATABASE_URL: replica.url(race.database),
    })
    await copies.reached(2)
    await primary.psql("DELETE FROM second", race.database)
    await primary.psql("VACUUM second", race.database)
    await caughtUp()
    await copies.release()
    return { ...race, original, running }
  }

  test("that ends the backup for what it has to replay is named as the reason, and leaves nothing", async () => {
    const race = await startVacuumed()
    const failure = failureOfRun(await race.running.finished)
    expect(failure.message).toContain("conflict with recovery")
    expect(failure.hint).toContain("hot_standby_feedback")
    await race.expectNothing()
  })

  test("that asks the primary to wait is backed up as it was", async () => {
    await replica.psql("ALTER SYSTEM SET hot_standby_feedback = on")
    await replica.psql("ALTER SYSTEM SET wal_receiver_status_interval = '1s'")
    await replica.psql("SELECT pg_reload_conf()")
    while ((await primary.psql("SELECT backend_xmin FROM pg_stat_replication")) === "") await sleep(20)
    const race = await startVacuumed()
    expect(await warningsOf(race.running)).toEqual([])
    await race.expectBackup(race.original, 2)
  })
})
