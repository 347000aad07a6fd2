import { randomBytes } from "node:crypto"
import { mkdir, open, readFile, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { chromium } from "playwright-core"
import type { DoctorResult } from "../../task/doctor/doctor.ts"
import type { DrillResult } from "../../task/drill/drill.ts"
import { forgeHistory } from "../report/forge-history.ts"
import { findChromium } from "../support/chromium.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { type Bed, measureIn, startSink } from "./bed.ts"
import { inRounds } from "./rounds.ts"
import type { Run } from "./run.ts"
import { type Recorder, roundsOf, type Sizes, source } from "./stages.ts"

const databases = 10

/** One of the things that are measured here, in a folder for what it leaves. */
type Trial = Pick<Run, "id" | "title" | "rawBytes"> & {
  readonly measure: () => Promise<Awaited<ReturnType<typeof measureIn>> & Pick<Run, "figures">>
}

/** What says that backups work: doctor on many tables, a drill of the source, a report about many backups. */
export async function trustStage(
  bed: Bed,
  sizes: Sizes,
  rawBytes: number,
  { step, run }: Recorder,
): Promise<void> {
  const { server } = bed
  const [stored, history, kept] = ["stored", "history", "kept"].map((name) => join(bed.folder, name))
  if (stored === undefined || history === undefined || kept === undefined)
    throw new RangeError("three folders")
  for (const one of [stored, history, kept]) await mkdir(one)
  const tables = "tables"
  const sink = await startSink(stored)
  const chromiumPath = await findChromium()
  if (chromiumPath === undefined)
    process.stderr.write("there is no Chromium: when the page is interactive is not measured\n")
  try {
    await step(`making a database of ${sizes.tables} tables`, () => makeTables(server, tables, sizes.tables))
    await step("backing up what is to be drilled", () =>
      measureIn(bed, `"$NODE" "$PGSTOW" backup --no-verify --jobs 2`, { ...sink.env, PGDATABASE: source }),
    )
    await step(`writing the records of ${databases} times ${sizes.backups} backups`, async () => {
      const newest = new Date()
      for (let index = 0; index < databases; index += 1)
        forgeHistory({
          root: history,
          database: `database_${index}`,
          newest,
          backups: sizes.backups,
          found: (age) => (age % 7 === 3 ? "drilled" : "verified"),
        })
    })
    const trials: readonly Trial[] = [
      {
        id: "doctor",
        title: "doctor",
        rawBytes: 0,
        measure: () => measureDoctor(bed, tables, { kept, env: sink.env, tables: sizes.tables }),
      },
      {
        id: "drill",
        title: "drill",
        rawBytes,
        measure: () => measureDrill(bed, { kept, env: sink.env }),
      },
      {
        id: "report",
        title: `report of ${databases} databases`,
        rawBytes: 0,
        measure: () =>
          measureReport(bed, { kept, history, chromiumPath, backups: databases * sizes.backups }),
      },
    ]
    for (const [round, { measure, ...trial }] of inRounds(trials, roundsOf("trust", sizes)))
      await run({ stage: "trust", round, ...trial }, async () => ({
        ...(await measure()),
        storedBytes: null,
      }))
  } finally {
    await sink.service.stop()
    await server.psql(`DROP DATABASE IF EXISTS ${tables} WITH (FORCE)`)
    for (const one of [stored, history, kept]) await rm(one, { recursive: true, force: true })
  }
}

/** A database of tables as applications have them: keys, indexes, references, comments, a few rows. */
async function makeTables(server: PostgresServer, name: string, count: number): Promise<void> {
  await server.createDatabase(name)
  const atOnce = 250
  for (let first = 1; first <= count; first += atOnce)
    await server.psql(
      `SET client_min_messages = warning;
       DO $do$ BEGIN FOR i IN ${first}..${Math.min(count, first + atOnce - 1)} LOOP
         EXECUTE format('CREATE TABLE t_%1$s (id bigserial PRIMARY KEY, name text NOT NULL CHECK (name <> ''''),
           at timestamptz DEFAULT now(), amount numeric(12, 2), tags text[], other bigint)', i);
         EXECUTE format('CREATE INDEX ON t_%1$s (lower(name))', i);
         EXECUTE format('COMMENT ON TABLE t_%1$s IS ''the table %1$s''', i);
         EXECUTE format('INSERT INTO t_%1$s (name) SELECT ''row '' || n FROM generate_series(1, 3) AS n', i);
         IF i % 10 <> 1 THEN
           EXECUTE format('ALTER TABLE t_%1$s ADD FOREIGN KEY (other) REFERENCES t_%2$s', i, i - 1);
         END IF;
       END LOOP; END $do$;`,
      name,
    )
  await server.psql("VACUUM (FREEZE, ANALYZE); CHECKPOINT;", name)
}

async function measureDoctor(
  bed: Bed,
  database: string,
  { kept, env, tables }: { readonly kept: string; readonly env: Bed["env"]; readonly tables: number },
) {
  const { server } = bed
  const answer = join(kept, "doctor.json")
  await server.psql(`ALTER DATABASE ${database} SET log_min_duration_statement = 0`)
  const log = join(server.socketDir, "log")
  const { size: offset } = await stat(log)
  const locks = await watchLocks(server, database)
  // 14: nothing worse than warnings.
  const script = `unset PGSTOW_IDENTITY
    "$NODE" "$PGSTOW" doctor --json > "$ANSWER" || [ $? -eq 14 ]`
  const measured = await (async () => {
    try {
      return await measureIn(bed, script, { ...env, PGDATABASE: database, ANSWER: answer })
    } finally {
      await locks.stop()
    }
  })()
  // It is what our own program wrote.
  const { findings, databases: looked } = JSON.parse(await readFile(answer, "utf8")) as DoctorResult
  const [error] = findings.filter(({ severity }) => severity === "error")
  if (error) throw new Error(`doctor finds an error in a healthy database: ${error.what}`)
  if (looked[0]?.size?.tables !== tables)
    throw new Error(`doctor has seen ${looked[0]?.size?.tables} tables, and there are ${tables}`)
  const durations = durationsIn(await textFrom(log, offset))
  if (durations.length === 0) throw new Error("the server has logged no statement")
  const found = await locks.found
  return {
    ...measured,
    figures: {
      tables,
      longestStatementSeconds: Math.max(...durations) / 1000,
      locksBeyondAccessShare: found.length,
    },
  }
}

/** What the server says of each statement, in milliseconds. */
export function durationsIn(log: string): number[] {
  return [...log.matchAll(/duration: ([\d.]+) ms/g)].map(([, milliseconds]) => Number(milliseconds))
}

async function textFrom(path: string, offset: number): Promise<string> {
  await using file = await open(path)
  const { size } = await file.stat()
  const { buffer } = await file.read(Buffer.alloc(size - offset), 0, size - offset, offset)
  return buffer.toString()
}

/**
 * Looks again and again, a hundred times a second, which locks other sessions hold in a database: those on relations
 * beyond ACCESS SHARE, and those of transactions that write. A lock that is held for less time may pass unseen.
 */
export async function watchLocks(
  server: PostgresServer,
  database: string,
): Promise<{ readonly stop: () => Promise<void>; readonly found: Promise<readonly string[]> }> {
  const end = `end_of_watch_${randomBytes(4).toString("hex")}`
  await server.psql(`CREATE TABLE ${end} (at timestamptz)`)
  const output = server.psql(
    `CREATE TEMPORARY TABLE seen (lock text PRIMARY KEY);
     DO $do$ DECLARE of oid := (SELECT oid FROM pg_database WHERE datname = '${database}');
     BEGIN
       WHILE NOT EXISTS (SELECT FROM ${end}) LOOP
         INSERT INTO seen
           SELECT DISTINCT concat_ws(' ', locktype, mode, relation)
             FROM pg_locks
            WHERE pid <> pg_backend_pid() AND mode <> 'AccessShareLock'
              AND pid IN (SELECT pid FROM pg_locks WHERE database = of)
              AND (locktype = 'transactionid' OR locktype = 'relation' AND database = of)
           ON CONFLICT DO NOTHING;
         PERFORM pg_sleep(0.01);
       END LOOP;
     END $do$;
     SELECT lock FROM seen;
     DROP TABLE ${end};`,
  )
  output.catch(() => {}) // Whoever asks for what was found hears of it.
  return {
    found: output.then((text) => text.split("\n").filter((line) => line !== "")),
    async stop() {
      await server.psql(`INSERT INTO ${end} VALUES (now())`)
    },
  }
}

async function measureDrill(
  bed: Bed,
  { kept, env }: { readonly kept: string; readonly env: Readonly<Record<string, string>> },
) {
  const answer = join(kept, "drill.json")
  const script = `"$NODE" "$PGSTOW" drill latest --jobs 2 --json > "$ANSWER"`
  const measured = await measureIn(bed, script, { ...env, PGDATABASE: "postgres", ANSWER: answer })
  // It is what our own program wrote.
  const { drill, startSeconds } = JSON.parse(await readFile(answer, "utf8")) as DrillResult
  if (drill === null || startSeconds === null) throw new Error("the drill has measured nothing")
  return { ...measured, figures: { restoreSeconds: drill.restoreSeconds, startSeconds } }
}

async function measureReport(
  bed: Bed,
  {
    kept,
    history,
    chromiumPath,
    backups,
  }: {
    readonly kept: string
    readonly history: string
    readonly chromiumPath: string | undefined
    readonly backups: number
  },
) {
  const page = join(kept, "report.html")
  const script = `"$NODE" "$PGSTOW" report --keep-daily 30 --keep-monthly 40 --out "$PAGE"`
  const measured = await measureIn(bed, script, {
    PGSTOW_STORAGE: pathToFileURL(history).href,
    PAGE: page,
  })
  const { size: pageBytes } = await stat(page)
  if (chromiumPath === undefined) return { ...measured, figures: { backups, pageBytes } }
  return {
    ...measured,
    figures: { backups, pageBytes, readySeconds: await secondsToReady(chromiumPath, page) },
  }
}

/** How long a browser that has just been started takes until the page, with its scripts, can be used. */
async function secondsToReady(executablePath: string, page: string): Promise<number> {
  const browser = await chromium.launch({ executablePath })
  try {
    const tab = await browser.newPage({ viewport: { width: 1400, height: 900 } })
    await tab.goto(pathToFileURL(page).href)
    const milliseconds = await tab.evaluate<number>(
      `performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd`,
    )
    return milliseconds / 1000
  } finally {
    await browser.close()
  }
}
