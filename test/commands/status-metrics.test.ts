import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeEach, expect, onTestFinished, test } from "vitest"
import { keyOf, manifestName } from "../../task/catalog/catalog.ts"
import { status } from "../../task/catalog/status.ts"
import { formatMetrics } from "../../task/commands/metrics-of-status.ts"
import { formatManifest, storedBytes } from "../../task/core/manifest.ts"
import { PgstowError } from "../../task/errors.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { needsUnwritable, unwritableFolder } from "../support/disk.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { override } from "../support/override.ts"
import { parseMetrics } from "../support/parse-metrics.ts"
import { runPgstow } from "../support/pgstow.ts"
import { sampleManifest, storeSample } from "../support/sample-backup.ts"

const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const
const now = new Date("2026-01-03T05:00:00Z")
const secondsOf = (time: string) => Date.parse(time) / 1000

let folder: string
let storage: Storage
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-metrics-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  // By the time at which their files were written, the clock of these tests would be wrong.
  storage = override(openStorage(`file://${folder}/backups`, { env: {} }), { clock: () => undefined })
})

/** The samples of one metric, by state where it has states. */
function valuesOf(text: string, name: string, database = "orders"): number[] {
  return parseMetrics(text).flatMap(([found, labels, value]) =>
    found === `pgstow_${name}` && labels.database === database ? [value] : [],
  )
}

async function metricsOf(storages: readonly Storage[]): Promise<string> {
  return formatMetrics(await status(storages, { maxAgeHours: 26 }, { now: () => now }))
}

test("ages are times in seconds, sizes bytes, and each is of the backup that its name says", async () => {
  await storeSample(storage, { id: ids[0], checks: ["verified", "drilled"] })
  await storeSample(storage, { id: ids[1], checks: ["verified", "drill-failed"] })
  await storeSample(storage, { id: ids[2], checks: ["failed"] })
  const newest = {
    ...sampleManifest({ id: ids[2] }),
    tableRows: [
      { table: "public.a", rows: 1_000_000 },
      { table: "public.b", rows: 5 },
    ],
  }
  await storage.put(keyOf(newest, manifestName), Buffer.from(formatManifest(newest)))
  const text = await metricsOf([storage])
  const single = {
    newest_backup_timestamp_seconds: secondsOf("2026-01-03T03:00:00Z"),
    newest_verified_backup_timestamp_seconds: secondsOf("2026-01-02T03:00:00Z"),
    newest_drilled_backup_timestamp_seconds: secondsOf("2026-01-01T03:00:00Z"),
    last_good_drill_timestamp_seconds: secondsOf("2026-01-01T04:01:00Z"),
    last_drill_success: 0,
    backup_overdue: 0,
    newest_backup_duration_seconds: 83.5,
    newest_backup_stored_bytes: storedBytes(newest),
    newest_backup_raw_bytes: 4 * storedBytes(newest),
    newest_backup_database_bytes: 9_000_000,
    newest_backup_rows: 1_000_005,
    stored_bytes: 3 * storedBytes(newest),
    unreadable_backups: 0,
    future_backups: 0,
    database_up: 1,
  }
  for (const [name, value] of Object.entries(single)) expect(valuesOf(text, name), name).toEqual([value])
  const states = parseMetrics(text).filter(([name]) => name === "pgstow_backups")
  expect(states.map(([, { state }, value]) => [state, value])).toEqual([
    ["verified", 2],
    ["unverified", 0],
    ["failed", 1],
  ])
  expect(parseMetrics(text)).toContainEqual(["pgstow_storage_up", { storage: storage.url }, 1])
  // No sample has a time of its own.
  for (const line of text.trimEnd().split("\n")) expect(line).toMatch(/^# |\} [\d.e+]+$/)
})

test("what is not known has no sample, and what does not answer is down", async () => {
  await storeSample(storage, { id: ids[2] })
  await storeSample(storage, { id: ids[2], database: "shop" })
  const noRoute = new PgstowError("storage", "no route to host")
  const dead = override(openStorage(`file://${folder}/dead`, { env: {} }), {
    listFolders: () => Promise.reject(noRoute),
  })
  const half = override(storage, {
    listFolders: (prefix) => (prefix === "shop/" ? Promise.reject(noRoute) : storage.listFolders(prefix)),
  })
  const text = await metricsOf([half, dead])
  for (const name of ["verified_backup", "drilled_backup"])
    expect(text).not.toContain(`newest_${name}_timestamp`)
  expect(text).not.toMatch(/drill_success|backup_rows/)
  expect(valuesOf(text, "backup_overdue")).toEqual([1])
  expect(valuesOf(text, "database_up")).toEqual([1])
  expect(valuesOf(text, "database_up", "shop")).toEqual([0])
  expect(valuesOf(text, "backups", "shop")).toEqual([])
  expect(parseMetrics(text)).toContainEqual(["pgstow_storage_up", { storage: dead.url }, 0])
})

const hostile = [
  'quote"',
  "back\\slash",
  "line\nbreak",
  "line\\nbreak",
  'a"} 1\nb{c="',
  "\u001b[2J",
  "käse 🧀",
  "}",
]

test("no name of a database can add a line, or be taken for another's", async () => {
  for (const database of hostile) await storeSample(storage, { id: ids[2], database })
  const text = await metricsOf([storage, storage])
  const names = parseMetrics(text).flatMap(([name, { database }]) =>
    name === "pgstow_stored_bytes" ? [database] : [],
  )
  expect(names.toSorted(compare)).toEqual(hostile.toSorted(compare))
})

const compare = (a = "", b = "") => (a < b ? -1 : 1)

const run = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  runPgstow(["status", "--format", "prometheus", ...args], {
    PGSTOW_STORAGE: storage.url,
    TMPDIR: folder,
    ...more,
  })

test("the exit code stays that of status, and the file is there all the same", async () => {
  await storeSample(storage, { id: ids[0], database: "a\u001bb", checks: ["verified"] })
  const file = join(folder, "pgstow.prom")
  const printed = await run([])
  expect(failureOfRun(printed).kind).toBe("overdue")
  expect(valuesOf(printed.stdout, "backup_overdue", "a\u001bb")).toEqual([1])
  const written = await run(["--out", file])
  expect(written.exitCode).toBe(11)
  expect(written.stdout).toBe("")
  expect(await readFile(file, "utf8")).toBe(printed.stdout)
  // For the exporter is another user.
  expect((await stat(file)).mode & 0o777).toBe(0o644)
  await chmod(file, 0o640)
  expect((await run(["--out", file, "--max-age-hours", "100000"])).exitCode).toBe(0)
  expect(valuesOf(await readFile(file, "utf8"), "backup_overdue", "a\u001bb")).toEqual([0])
  expect((await stat(file)).mode & 0o777).toBe(0o640)

  // What held before must not stand there for ever where no storage answers.
  await rm(join(folder, "backups"), { recursive: true })
  await writeFile(join(folder, "backups"), "")
  expect(failureOfRun(await run(["--out", file])).kind).toBe("storage")
  expect(parseMetrics(await readFile(file, "utf8"))).toEqual([
    ["pgstow_storage_up", { storage: storage.url }, 0],
  ])
})

test("a storage's label holds no secret that it is opened with", async () => {
  const url = "s3://backups/prefix?endpoint=http://127.0.0.1:9&credentials=TEST"
  const env = { TEST_ACCESS_KEY: "hunter2key", TEST_SECRET_KEY: "hunter2secret", PGSTOW_STORAGE_TIMEOUT: "1" }
  const { stdout, stderr } = await run([], { PGSTOW_STORAGE: url, ...env })
  expect(parseMetrics(stdout)).toMatchObject([
    ["pgstow_storage_up", { storage: /^s3:\/\/backups\/prefix/ }, 0],
  ])
  expect(stdout + stderr).not.toMatch(/hunter2/)
})

test.skipIf(needsUnwritable)(
  `a file that can't be written is named, and what was there stays whole${needsUnwritable}`,
  async () => {
    await storeSample(storage, { id: ids[0], checks: ["verified"] })
    const directory = join(folder, "directory")
    await mkdir(directory)
    const wrong = [
      join(folder, "missing", "a.prom"),
      directory,
      "/dev/null",
      join(await unwritableFolder(), "a.prom"),
    ]
    for (const file of wrong) {
      const failure = failureOfRun(await run(["--out", file]))
      expect(failure.kind, file).toBe("usage")
      expect(failure.message).toContain(`the metrics can't be written to ${file}: `)
    }
    expect(await readdir(directory)).toEqual([])
    expect((await stat("/dev/null")).isCharacterDevice()).toBe(true)
  },
)

test("flags that do not go together are refused before anything is looked at", async () => {
  const refused: [string[], RegExp][] = [
    [["--format", "xml"], /--format must be text or prometheus/],
    [["--out", ""], /--out is empty/],
    [["--json"], /both JSON and metrics/],
    [["--format", "text", "--out", join(folder, "file")], /--out is for metrics alone/],
  ]
  for (const [args, message] of refused) {
    const { exitCode, stdout, stderr } = await run(args)
    expect(exitCode).toBe(2)
    expect(stdout + stderr).toMatch(message)
  }
})
