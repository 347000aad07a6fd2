import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { startPgbouncer } from "../support/pgbouncer.ts"
import { type PostgresServer, startPostgres } from "../support/postgres.ts"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Trials } from "./campaign.ts"
import { openLock } from "./open-lock.ts"
import type { Ended } from "./program.ts"
import type { Random } from "./random.ts"
import { makeSource, type Source } from "./small-database.ts"
import { readStoredBackups } from "./stored-backups.ts"

/** How long a server needs at most to see that a client is gone. */
const sessionsGoneWithinMs = 8_000

/**
 * A server that others work with: locks, time limits, poolers, replicas, too few connections, sessions that stop to
 * answer. Whatever comes of a run, no session and no lock of it stays, and nobody waits for long.
 */
export const politeness: Campaign = {
  name: "politeness",
  prepare: (bed) => setStage((undo) => prepare(bed, undo)),
}

type World = Source & {
  readonly bed: Bed
  readonly replica: PostgresServer
  /** Runs the program, and throws unless it exits with one of `exitCodes`. */
  expectExit(
    args: readonly string[],
    more: Readonly<Record<string, string>>,
    ...exitCodes: number[]
  ): Promise<Ended>
}

type Case = { readonly title: string; run(world: World, random: Random): Promise<void> }

async function prepare(bed: Bed, undo: AsyncDisposableStack): Promise<Trials> {
  const server = await startPostgres({
    settings: {
      wal_level: "replica",
      max_wal_senders: "4",
      max_connections: "30",
      // What it cleans up would end backups of the replica at any time.
      autovacuum: "off",
    },
  })
  undo.defer(() => server.stop())
  bed.guard(server.password)
  const source = await makeSource(bed, "polite", server)
  const replica = await startPostgres({ primary: server, settings: { max_standby_streaming_delay: "200ms" } })
  undo.defer(() => replica.stop())
  const env = { ...source.env, PGSTOW_STORAGE: `file://${source.folder}/store` }
  const world: World = {
    ...source,
    bed,
    replica,
    env,
    expectExit: async (args, more, ...exitCodes) => {
      const ended = await bed.run(args, { env: { ...env, ...more }, withinMs: 60_000 })
      if (!exitCodes.includes(ended.exitCode ?? -1)) throw new Error(`${args.join(" ")}: ${toldBy(ended)}`)
      return ended
    },
  }
  // There is something to restore.
  await world.expectExit(["backup"], {}, 0)
  return {
    trials: cases.length,
    trial: async ({ index, random }, tally) => {
      const found = cases[index]
      if (!found) return
      try {
        await found.run(world, random)
        await expectNobodyLeft(world)
        const { backups, strays } = await readStoredBackups(join(source.folder, "store"))
        const wrong = [
          ...backups.flatMap((backup) => backup.wrong),
          ...strays.filter((stray) => stray.includes("manifest")),
        ]
        if (wrong.length > 0) throw new Error(wrong.join("; "))
        tally.held(found.title)
      } catch (error) {
        tally.broke(found.title, error instanceof Error ? error.message : String(error))
      }
    },
  }
}

/** Throws where a session of the program's stays on a server. */
async function expectNobodyLeft({ server, replica }: World): Promise<void> {
  for (const each of [server, replica]) {
    for (const startedAt = performance.now(); ; await sleep(50)) {
      const left = await each.psql(
        `SELECT string_agg(concat_ws(' ', pid, datname, application_name, state, left(query, 60)), '; ')
           FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name NOT LIKE 'lock %'`,
      )
      if (left === "") break
      if (performance.now() - startedAt > sessionsGoneWithinMs) throw new Error(`a session stays: ${left}`)
    }
  }
}

/** Fails unless others may change the tables again at once. */
async function expectUnlocked({ server, database }: World): Promise<void> {
  await server.psql(
    "SET lock_timeout = '3s'; BEGIN; LOCK TABLE first, second, customers, orders IN ACCESS EXCLUSIVE MODE; COMMIT",
    database,
  )
}

const limits = [
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "idle_session_timeout",
  "transaction_timeout",
]

const cases: readonly Case[] = [
  {
    title: "a table that stays locked",
    run: async (world) => {
      {
        await using _lock = await openLock(
          world.server,
          world.database,
          "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        )
        const { ms } = await world.expectExit(["backup", "--lock-wait", "1"], {}, 3)
        if (ms > 20_000) throw new Error(`it took ${Math.round(ms)} ms`)
        await expectNobodyLeft(world)
      }
      await expectUnlocked(world)
    },
  },
  {
    title: "a table that is locked for a while",
    run: async (world) => {
      const lock = await openLock(world.server, world.database, "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
      const backup = world.expectExit(["backup", "--lock-wait", "20"], {}, 0)
      await sleep(2_500)
      await lock[Symbol.asyncDispose]()
      await backup
      await expectUnlocked(world)
    },
  },
  {
    title: "a migration that comes while a backup runs",
    run: async (world, random) => {
      const backup = world.expectExit(["backup", "--lock-wait", "2"], {}, 0, 3)
      await sleep(random.below(1_500))
      const startedAt = performance.now()
      await world.server.psql(
        "ALTER TABLE second ADD COLUMN IF NOT EXISTS added int; ALTER TABLE second DROP COLUMN added",
        world.database,
      )
      const waitedMs = performance.now() - startedAt
      await backup
      if (waitedMs > 20_000) throw new Error(`the migration waited for ${Math.round(waitedMs)} ms`)
      await expectUnlocked(world)
    },
  },
  ...["2ms", "50ms"].map(
    (limit): Case => ({
      title: `time limits of ${limit} for the role`,
      run: async (world) => {
        const { server } = world
        const known = (
          await server.psql(`SELECT name FROM pg_settings WHERE name IN ('${limits.join("', '")}')`)
        ).split("\n")
        await server.psql(
          known.map((name) => `ALTER ROLE postgres IN DATABASE polite SET ${name} = '${limit}';`).join("\n"),
        )
        try {
          await world.expectExit(["backup"], {}, 0)
          await world.expectExit(["restore", "latest", "--into", "limited"], {}, 0)
        } finally {
          await server.psql(
            known.map((name) => `ALTER ROLE postgres IN DATABASE polite RESET ${name};`).join("\n"),
          )
          await server.psql("DROP DATABASE IF EXISTS limited WITH (FORCE)")
        }
      },
    }),
  ),
  {
    title: "a database that is read-only by default",
    run: async (world) => {
      await world.server.psql("ALTER DATABASE polite SET default_transaction_read_only = on")
      try {
        await world.expectExit(["backup"], {}, 0)
        await world.expectExit(["restore", "latest", "--into", "limited"], {}, 0)
      } finally {
        await world.server.psql(
          "DROP DATABASE IF EXISTS limited WITH (FORCE); ALTER DATABASE polite RESET default_transaction_read_only",
        )
      }
    },
  },
  {
    title: "a role that may not read",
    run: async (world) => {
      const { server, database } = world
      await server.psql("CREATE ROLE stranger LOGIN PASSWORD 'stranger-password'", database)
      world.bed.guard("stranger-password")
      const url = server.url(database).replace(/\/\/[^@]*@/, "//stranger:stranger-password@")
      await world.expectExit(["backup"], { DATABASE_URL: url }, 3)
      await expectUnlocked(world)
      await server.psql("DROP ROLE stranger", database)
    },
  },
  {
    title: "no connection is left",
    run: async (world) => {
      const { server, database } = world
      const held: AsyncDisposable[] = []
      // Some are left for those who look; the program wants more than there are.
      for (let count = 0; count < 22; count++) held.push(await openLock(server, database, "SELECT 1"))
      try {
        await world.expectExit(["backup", "--jobs", "8"], {}, 0, 3)
      } finally {
        for (const lock of held) await lock[Symbol.asyncDispose]()
      }
      await expectUnlocked(world)
    },
  },
  ...(["session", "transaction"] as const).map(
    (mode): Case => ({
      title: `a pooler in ${mode} mode`,
      run: async (world) => {
        const pooler = await startPgbouncer(world.server, mode)
        try {
          const url = pooler.url(world.database)
          await world.expectExit(["backup"], { DATABASE_URL: url }, ...(mode === "session" ? [0] : [2, 3]))
        } finally {
          await pooler.stop()
        }
        await expectUnlocked(world)
      },
    }),
  ),
  {
    title: "a pooler that dies",
    run: async (world, random) => {
      const pooler = await startPgbouncer(world.server, "session")
      const backup = world.expectExit(["backup"], { DATABASE_URL: pooler.url(world.database) }, 0, 3)
      await sleep(random.below(1_500))
      await pooler.stop()
      await backup
      await expectNobodyLeft(world)
      await expectUnlocked(world)
    },
  },
  {
    title: "a replica",
    run: async (world) => {
      await caughtUp(world)
      await world.expectExit(["backup"], { DATABASE_URL: world.replica.url(world.database) }, 0)
    },
  },
  {
    title: "a replica that ends who is in its way",
    run: async (world) => {
      await caughtUp(world)
      const backup = world.expectExit(["backup"], { DATABASE_URL: world.replica.url(world.database) }, 0, 3)
      for (let count = 0; count < 8; count++) {
        await world.server.psql(
          "UPDATE orders SET total = total + 1; VACUUM orders; ALTER TABLE second ADD COLUMN added int; ALTER TABLE second DROP COLUMN added",
          world.database,
        )
        await sleep(150)
      }
      await backup
    },
  },
  {
    title: "a server process that stops to answer, and a user who does not wait",
    run: async (world, random) => {
      const { bed, server, env } = world
      let stopped: number | undefined
      const ended = await bed.run(["backup"], {
        env,
        withinMs: 40_000,
        mayBeKilled: true,
        onStart: (running) => {
          void stopOne(server, random)
            .then(async (pid) => {
              stopped = pid
              await sleep(1_500)
              running.kill("SIGTERM")
            })
            .catch(() => {})
        },
      })
      if (stopped !== undefined) process.kill(stopped, "SIGCONT")
      if (ended.exitCode !== 143 && ended.exitCode !== 0) throw new Error(toldBy(ended))
      await expectNobodyLeft(world)
      await expectUnlocked(world)
    },
  },
]

/** Stops one of the program's server processes, and gives its id. */
async function stopOne(server: PostgresServer, random: Random): Promise<number | undefined> {
  for (let tries = 0; tries < 200; tries++) {
    const pids = await server.psql(
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = 'polite'`,
    )
    if (pids !== "") {
      const pid = Number(random.pick(pids.split("\n")))
      process.kill(pid, "SIGSTOP")
      return pid
    }
    await sleep(10)
  }
  return undefined
}

async function caughtUp({ server, replica }: World): Promise<void> {
  const at = await server.psql("SELECT pg_current_wal_lsn()")
  while ((await replica.psql(`SELECT pg_last_wal_replay_lsn() >= '${at}'`)) !== "t") await sleep(50)
}
