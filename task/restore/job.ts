import type { RestorePlan } from "../archive/plan-restore.ts"
import type { JoinedToc } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import { openObject } from "../catalog/open-object.ts"
import { formatName } from "../console/format.ts"
import type { ProgressUpdate } from "../console/progress.ts"
import type { Context } from "../context.ts"
import { formatProblem } from "../core/check.ts"
import { type Manifest, type ManifestObject, storedBytes } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import { PgstowError, useAnotherCopy } from "../errors.ts"
import type { Clients } from "../postgres/clients.ts"
import { type Connection, withDatabase } from "../postgres/connection.ts"
import { gatherStatistics } from "../postgres/gather-statistics.ts"
import type { PgRestoreOptions, RestoreOutcome } from "../postgres/pg-restore.ts"
import type { Target } from "../postgres/target.ts"
import type { TargetServer } from "../postgres/target-server.ts"
import type { Storage } from "../storage/storage.ts"
import { verifyBackup } from "../verify/verify-backup.ts"
import type { RestoreJobOptions } from "./options.ts"
import { type Pace, paceKeys } from "./pace.ts"

/** What to restore, how, and into what. */
export type RestoreJob = {
  readonly storage: Storage
  readonly manifest: Manifest
  /** Whether the main object is checked before any of it runs, as openObject takes it. A segment is rows, and does not run. */
  readonly checkFirst: boolean
  readonly main: ManifestObject
  /** What the main object and the segments hold. */
  readonly archive: readonly TocEntry[]
  /** How the rows of the segments belong to the main object. */
  readonly joined: JoinedToc
  /** The database to restore into. */
  readonly name: string
  readonly target: Target
  /** For what loads: as the target's, and with what the rows need beside. */
  readonly connection: Connection
  readonly clients: Clients
  readonly zstd: string | undefined
  /** How many streams at once, each with a connection. */
  readonly jobs: number
  readonly options: RestoreJobOptions
}

/** A job that has begun, and is measured. */
export type MeasuredJob = RestoreJob & { readonly pace: Pace }

/** What has become of a job. */
export type RestoreEnd = {
  readonly plan: RestorePlan
  /** The database that holds what was restored. */
  readonly into: string
  /** `incomplete`: the database is new and must not be used as it is. `unchanged`: it is as it was before. */
  readonly state: "restored" | "incomplete" | "unchanged"
  readonly outcome: RestoreOutcome
  readonly warnings: readonly string[]
}

/** What everything that restores rows or definitions into a database needs. */
export type Restoring = Pick<PgRestoreOptions, "connection" | "owners" | "grants" | "tablespaces" | "env"> & {
  readonly clients: Clients
  readonly signal: AbortSignal
  /** The stored object, decrypted and still compressed; what is read of it counts as done. */
  readonly open: (object: ManifestObject) => AsyncGenerator<Buffer>
  /** Shows what is done just now. */
  readonly show: (stage: string, detail: string) => void
}

/** Prepares for restoring into `database`, and for showing how far it is. Ended by `signal`. */
export function restoringInto(
  { storage, manifest, checkFirst, connection, clients, options, pace }: MeasuredJob,
  database: string,
  { env, progress }: Context,
  signal: AbortSignal,
): Restoring {
  const { identities, owners, grants, tablespaces } = options
  const totalBytes = storedBytes(manifest)
  let doneBytes = 0
  let doing: { readonly stage: string; readonly detail?: string } = { stage: "schema" }
  const update = () => {
    const stage = `restoring into ${formatName(database)}: ${doing.stage}`
    // What is read twice counts twice.
    progress.update({
      stage,
      doneBytes: Math.min(doneBytes, totalBytes),
      totalBytes,
      detail: doing.detail,
      estimate: pace.estimate,
    })
  }
  const counting = (object: ManifestObject) => (bytes: number) => {
    doneBytes += bytes
    pace.advance(paceKeys.object(object.name), (bytes * object.rawBytes) / object.sizeBytes)
    update()
  }
  return {
    clients,
    connection: withDatabase(connection, database),
    owners,
    grants,
    tablespaces,
    env,
    signal,
    async *open(object) {
      try {
        yield* openObject(storage, manifest, object, {
          identities,
          checkFirst: checkFirst && object.kind !== "segment",
          signal,
          onBytes: counting(object),
        })
      } finally {
        pace.end(paceKeys.object(object.name))
      }
    },
    show(stage, detail) {
      doing = { stage, detail: formatName(detail) }
      update()
    },
  }
}

/** Reads all of the backup, and gives what is wrong with it. */
export async function findDamage(
  { storage, manifest }: RestoreJob,
  { progress, signal }: Context,
): Promise<PgstowError | undefined> {
  const onProgress = (update: ProgressUpdate) => progress.update(update)
  const [problem] = await verifyBackup(storage, manifest, { signal, onProgress })
  if (!problem) return undefined
  const where = `backup ${manifest.id} in ${storage.url}`
  return new PgstowError("damaged", `${where} is not what its manifest says: ${formatProblem(problem)}`, {
    hint: useAnotherCopy,
  })
}

/** Everything that is given to a role is also done as that role. */
export function restoresAsSuperuser({ owners }: RestoreJobOptions, server: TargetServer): boolean {
  return server.isSuperuser && typeof owners === "string"
}

/** Whether the target lacks tablespaces that the plan names, and a warning that says so: then all lie in the database's own. */
export function missingTablespaces(
  { options }: RestoreJob,
  plan: RestorePlan,
  server: TargetServer,
): { readonly areMissing: boolean; readonly warnings: readonly string[] } {
  if (options.tablespaces === "none") return { areMissing: false, warnings: [] }
  const named = new Set(plan.entries.flatMap(({ tablespace }) => tablespace ?? []))
  const missing = [...named].filter((name) => !server.tablespaces.has(name))
  if (missing.length === 0) return { areMissing: false, warnings: [] }
  const what = missing.length === 1 ? "the tablespace" : "the tablespaces"
  return {
    areMissing: true,
    warnings: [
      `the target lacks ${what} ${missing.map(formatName).join(", ")}, so all lies in the database's own`,
    ],
  }
}

/** Gathers statistics on what was restored; a failure is a warning. */
export async function analyze(
  job: MeasuredJob,
  plan: RestorePlan,
  database: string,
  { progress, signal }: Context,
): Promise<string[]> {
  const { target, options } = job
  if (!options.analyze) return []
  const { pace } = job
  pace.begin(paceKeys.statistics)
  const doneBytes = storedBytes(job.manifest)
  progress.update({ stage: `analyzing ${formatName(database)}`, doneBytes, estimate: pace.estimate })
  const names = options.selection ? tablesOf(plan) : []
  return gatherStatistics(() => target.inside(database), names, signal)
}

/** The tables and materialized views of a plan, by their names in SQL. */
export function tablesOf(plan: RestorePlan): string[] {
  return plan.entries
    .filter(({ kind }) => kind === "TABLE" || kind === "MATERIALIZED VIEW")
    .map(({ schema = "", name }) => `${identifier(schema)}.${identifier(name)}`)
}
