import { rm, truncate } from "node:fs/promises"
import { join } from "node:path"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Trials } from "./campaign.ts"
import { forgeBackup, timestamp } from "./forge.ts"
import { openLock } from "./open-lock.ts"
import type { Ended } from "./program.ts"
import { readStoredBackups } from "./stored-backups.ts"

const few = 2_500
const many = 10_000
/** How much longer the processors may work for four times as many. A square would be 16 times. */
const mostTimes = 7
/** What many may take; a program that does nothing takes 100 MB. */
const memoryLimitBytes = 350 * 1024 ** 2

/**
 * Much of everything: thousands of backups, dozens of databases with one that fails, hundreds of segments. Time grows
 * with the amount and not faster, memory is bounded, and one failure is nobody else's.
 */
export const load: Campaign = {
  name: "load",
  prepare: (bed) => setStage(() => Promise.resolve(trials(bed))),
}

function trials(bed: Bed): Trials {
  const cases = [() => manyBackups(bed), () => manyDatabases(bed), () => manySegments(bed)]
  return {
    trials: cases.length,
    trial: async ({ index }, tally) => {
      for (const { fault, problem } of (await cases[index]?.()) ?? [])
        if (problem === undefined) tally.held(fault)
        else tally.broke(fault, problem)
    },
  }
}

type Finding = { readonly fault: string; readonly problem?: string | undefined }

/** Lists, plans and cleans up thousands of backups. */
async function manyBackups(bed: Bed): Promise<Finding[]> {
  const folder = await bed.newFolder("load")
  const findings: Finding[] = []
  const env = { TMPDIR: folder }
  const runs: Record<string, Ended[]> = {}
  const stores = [few, many].map((count) => ({ count, root: join(folder, String(count)) }))
  for (const { count, root } of stores) {
    await forgeMany(root, count)
    for (const args of [
      ["list", "--json"],
      ["status", "--json", "--max-age-hours", "100000"],
      ["cleanup", "--dry-run", "--json", "--keep-daily", "30"],
      ["cleanup", "--json", "--keep-last", "100"],
    ]) {
      const name = args.includes("--dry-run") ? "cleanup --dry-run" : (args[0] ?? "")
      const ended = await bed.run(args, {
        env: { ...env, PGSTOW_STORAGE: `file://${root}` },
        withinMs: 400_000,
        measure: true,
      })
      if (ended.exitCode !== 0)
        findings.push({ fault: `${name} of ${count} backups`, problem: toldBy(ended) })
      runs[name] = [...(runs[name] ?? []), ended]
    }
    const left = (await readStoredBackups(root)).backups.length
    const fault = `${count} backups are cleaned up`
    findings.push({
      fault,
      problem: left === 100 ? undefined : `${left} are left of 100 that were to be kept`,
    })
    await rm(root, { recursive: true })
  }
  for (const [name, [small, large]] of Object.entries(runs)) {
    if (!small || !large) continue
    const [seconds, moreSeconds] = [small.cpuMs, large.cpuMs].map((ms) => (ms / 1000).toFixed(1))
    const figures = `${seconds} s for ${few}, ${moreSeconds} s and ${Math.round(large.peakBytes / 1024 ** 2)} MiB for ${many}`
    const fault = `${name}: ${figures}`
    const isSlow = large.cpuMs > mostTimes * Math.max(small.cpuMs, 500)
    findings.push({
      fault: `${fault}: time`,
      problem: isSlow ? "it grows faster than their number" : undefined,
    })
    const isLarge = large.peakBytes > memoryLimitBytes
    findings.push({ fault: `${fault}: memory`, problem: isLarge ? "it is too much memory" : undefined })
  }
  return findings
}

/** Backups of one database, an hour apart, all verified. */
async function forgeMany(root: string, count: number): Promise<void> {
  const now = Date.now()
  for (let n = 0; n < count; n++) {
    const id = `${timestamp(new Date(now - (n + 1) * 3_600_000))}-${String(n).padStart(8, "0")}`
    await forgeBackup({ root, database: "shop", id, state: "verified" })
  }
}

/** One of many databases can't be backed up: all others are. */
async function manyDatabases(bed: Bed): Promise<Finding[]> {
  const server = await startPostgres()
  try {
    bed.guard(server.password)
    const folder = await bed.newFolder("databases")
    const names = Array.from({ length: 64 }, (_, n) => `d${n}`)
    await server.createDatabase("pattern")
    await server.psql("CREATE TABLE t AS SELECT generate_series(1, 10) AS n", "pattern")
    await server.psql(names.map((name) => `CREATE DATABASE ${name} TEMPLATE pattern;`).join("\n"))
    await using _lock = await openLock(server, "d17", "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    const root = join(folder, "store")
    const ended = await bed.run(["backup", "--all", "--include", "d*", "--lock-wait", "1", "--json"], {
      env: {
        DATABASE_URL: server.url("postgres"),
        PGSTOW_PG_BIN: server.binDir,
        PGSTOW_RECIPIENTS: bed.recipient,
        PGSTOW_STORAGE: `file://${root}`,
        TMPDIR: folder,
      },
      withinMs: 300_000,
      measure: true,
    })
    const { backups } = await readStoredBackups(root)
    const backedUp = new Set(
      backups.filter(({ wrong }) => wrong.length === 0).map(({ database }) => database),
    )
    const missing = names.filter((name) => name !== "d17" && !backedUp.has(name))
    const findings: Finding[] = [
      {
        fault: "64 databases, one of them locked: all others are backed up",
        problem: missing.length > 0 ? `${missing.join(", ")} are not; ${toldBy(ended)}` : undefined,
      },
      {
        fault: "64 databases, one of them locked: that one is told of",
        problem: ended.exitCode !== 0 && ended.stderr.includes("d17") ? undefined : toldBy(ended),
      },
      {
        fault: `64 databases: memory, ${Math.round(ended.peakBytes / 1024 ** 2)} MiB`,
        problem: ended.peakBytes > memoryLimitBytes ? "it is too much memory" : undefined,
      },
    ]
    return findings
  } finally {
    await server.stop()
  }
}

const wantedSegments = 500

/** Hundreds of tables that leave pg_dump's stream: with pages that hold no rows, which takes no time to make. */
async function manySegments(bed: Bed): Promise<Finding[]> {
  const server = await startPostgres()
  try {
    bed.guard(server.password)
    const folder = await bed.newFolder("segments")
    const database = await server.createDatabase("segments")
    await server.psql(
      `SELECT format('CREATE TABLE t%s AS SELECT %1$s AS n', i) FROM generate_series(1, ${wantedSegments}) AS i \\gexec
       CHECKPOINT`,
      database,
    )
    await growTables(server, database)
    const root = join(folder, "store")
    const env = {
      DATABASE_URL: server.url(database),
      PGSTOW_PG_BIN: server.binDir,
      PGSTOW_RECIPIENTS: bed.recipient,
      PGSTOW_IDENTITY: bed.identity,
      PGSTOW_STORAGE: `file://${root}`,
      PGSTOW_JOBS: "2",
      TMPDIR: folder,
    }
    const ended = await bed.run(["backup", "--json"], { env, withinMs: 300_000, measure: true })
    const [backup] = (await readStoredBackups(root)).backups
    const segments = backup?.manifest.objects.filter(({ kind }) => kind === "segment").length ?? 0
    const verified = await bed.run(["verify", "latest", "--deep"], { env, withinMs: 200_000 })
    return [
      {
        fault: `${segments} segments: backup in ${Math.round(ended.ms / 1000)} s, ${Math.round(ended.peakBytes / 1024 ** 2)} MiB`,
        problem:
          ended.exitCode === 0 && segments === wantedSegments && ended.peakBytes < memoryLimitBytes
            ? undefined
            : toldBy(ended),
      },
      {
        fault: `${segments} segments: verify --deep in ${Math.round(verified.ms / 1000)} s`,
        problem: verified.exitCode === 0 ? undefined : toldBy(verified),
      },
    ]
  } finally {
    await server.stop()
  }
}

/** Makes all tables of a database larger than 16 MiB, while the server does not look. */
async function growTables(server: PostgresCluster, database: string): Promise<void> {
  const dataDir = join(server.socketDir, "data")
  const paths = await server.psql(
    "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    database,
  )
  // Pages of zeros are new ones, in which there is nothing yet; on disk they take up nothing.
  for (const path of paths.split("\n")) await truncate(join(dataDir, path), 17 * 1024 ** 2)
}
