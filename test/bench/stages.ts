import { mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { backupPipelines, pgstowBackup } from "./backup-pipelines.ts"
import { type Bed, measureIn, rawBytesOf, startSink } from "./bed.ts"
import { contentsOf, differencesBetween } from "./contents.ts"
import { generateDatabase, type Mix, mixed, mostlyBig } from "./generate-database.ts"
import { restorePipelines, restoreSources } from "./restore-pipelines.ts"
import { inRounds } from "./rounds.ts"
import type { Run, Stage } from "./run.ts"
import { startService } from "./service.ts"

export type Sizes = {
  /** Of the raw dump of what is backed up and restored. */
  readonly bytes: number
  readonly rounds: number
  /** Of the raw dump of what is read at a limited rate, and that rate for each connection. */
  readonly limitedBytes: number
  readonly limitedBytesPerSecond: number
  /** Of the database that doctor looks at. */
  readonly tables: number
  /** Of each of the databases that are reported. */
  readonly backups: number
}

/** How the bench tells what it does, and keeps what it measured. */
export type Recorder = {
  /** Says what is done, and how long it took. */
  readonly step: <Result>(title: string, work: () => Promise<Result>) => Promise<Result>
  /** Does a run, and keeps it. */
  readonly run: (
    run: Pick<Run, "stage" | "id" | "title" | "round" | "rawBytes">,
    work: () => Promise<Took>,
  ) => Promise<void>
}

type Took = Pick<
  Run,
  "wallSeconds" | "clientCpuSeconds" | "serverCpuSeconds" | "peakBytes" | "storedBytes" | "figures"
>

/** The database that all stages but the limited one read. */
export const source = "bench"

/** How many runs a stage has in one round. */
export const runsOf: Readonly<Record<Stage, number>> = {
  backup: backupPipelines.length,
  restore: restorePipelines.length,
  limited: 4,
  memory: 2,
  trust: 3,
}

/** Where the rate is given, only memory counts, or nothing is compared, three rounds tell as much as five, and take long. */
export function roundsOf(stage: Stage, { rounds }: Sizes): number {
  return stage === "backup" || stage === "restore" ? rounds : Math.min(rounds, 3)
}

/** The database that all stages but the limited one read. */
export function fillSource(bed: Bed, bytes: number, { step }: Recorder): Promise<number> {
  return fill(bed, source, mixed(bytes), step)
}

export async function backupStage(
  bed: Bed,
  sizes: Sizes,
  rawBytes: number,
  { run }: Recorder,
): Promise<void> {
  for (const [round, { id, title, script, stores }] of inRounds(backupPipelines, sizes.rounds))
    await run({ stage: "backup", id, title, round, rawBytes }, async () => {
      const took = await measureIn(bed, script, { PGDATABASE: source })
      return { ...took, storedBytes: stores ? took.storedBytes : null }
    })
}

export async function restoreStage(
  bed: Bed,
  sizes: Sizes,
  rawBytes: number,
  { step, run }: Recorder,
): Promise<void> {
  const { server, folder } = bed
  const [files, stored] = [join(folder, "files"), join(folder, "stored")]
  for (const one of [files, stored]) await mkdir(one)
  const sink = await startSink(stored)
  const env = { ...sink.env, FILES: files, PGDATABASE: source }
  try {
    const expected = await step("backing up what is to be restored", async () => {
      await measureIn(bed, restoreSources, env)
      return contentsOf(server, source)
    })
    const TARGET = "restored"
    for (const [round, { id, title, script }] of inRounds(restorePipelines, sizes.rounds)) {
      await run({ stage: "restore", id, title, round, rawBytes }, async () => ({
        ...(await measureIn(bed, script, { ...env, PGDATABASE: "postgres", TARGET })),
        storedBytes: null,
      }))
      const [difference] = differencesBetween(expected, await contentsOf(server, TARGET))
      if (difference !== undefined) throw new Error(`${title} did not restore all of it: ${difference}`)
      await dropDatabase(bed, TARGET)
    }
  } finally {
    await sink.service.stop()
    for (const one of [files, stored]) await rm(one, { recursive: true, force: true })
  }
}

/** Backups of a server that gives each connection a limited rate. */
export async function limitedStage(bed: Bed, sizes: Sizes, { step, run }: Recorder): Promise<void> {
  const { limitedBytes, limitedBytesPerSecond } = sizes
  const database = "limited"
  const rawBytes = await fill(bed, database, mostlyBig(limitedBytes), step, { indexes: false })
  const proxy = await startService("limited-proxy.ts", [`${bed.server.port}`, `${limitedBytesPerSecond}`])
  try {
    const env = { PGDATABASE: database, PGPORT: proxy.answer }
    for (const [round, { id, title, script }] of inRounds(
      [1, 2, 4, 8].map(pgstowBackup),
      roundsOf("limited", sizes),
    ))
      await run({ stage: "limited", id, title, round, rawBytes }, () => measureIn(bed, script, env))
  } finally {
    await proxy.stop()
    await dropDatabase(bed, database)
  }
}

/** Whether more data takes more memory. */
export async function memoryStage(
  bed: Bed,
  sizes: Sizes,
  rawBytes: number,
  { step, run }: Recorder,
): Promise<void> {
  const database = "tenfold"
  const tenfold = await fill(bed, database, mixed(10 * sizes.bytes), step, { indexes: false })
  const { title, script } = pgstowBackup(2)
  const databases = [
    { id: "size", title, name: source, rawBytes },
    { id: "tenfold", title: `${title}, ten times the data`, name: database, rawBytes: tenfold },
  ]
  for (const [round, { id, title, name, rawBytes }] of inRounds(databases, roundsOf("memory", sizes)))
    await run({ stage: "memory", id, title, round, rawBytes }, () =>
      measureIn(bed, script, { PGDATABASE: name }),
    )
  await dropDatabase(bed, database)
}

function fill(
  bed: Bed,
  name: string,
  mix: Mix,
  step: Recorder["step"],
  options: { readonly indexes?: boolean } = {},
): Promise<number> {
  const gigabytes = Object.values(mix).reduce((sum, bytes) => sum + bytes, 0) / 1e9
  return step(`filling the database ${name} with ${gigabytes.toFixed(2)} GB`, async () => {
    await generateDatabase(bed.server, name, mix, { ...options, signal: bed.signal })
    return rawBytesOf(bed, name)
  })
}

async function dropDatabase({ server }: Bed, name: string): Promise<void> {
  await server.psql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  await server.psql("CHECKPOINT")
}
