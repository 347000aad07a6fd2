import type { Context } from "./context.ts"
import type { ManifestObject, SegmentObject } from "./core/manifest.ts"
import { PgstowError } from "./errors.ts"
import { mapConcurrently } from "./map-concurrently.ts"
import { type PlacedFile, placeFile } from "./place-file.ts"
import { childEnv } from "./postgres/connection.ts"
import { copyIn } from "./postgres/copy-in.ts"
import { loadingEnv } from "./postgres/loading-env.ts"
import type { RestorePlan } from "./postgres/plan-restore.ts"
import { type RestoreOutcome, restoreHead, restoreMain } from "./postgres/restore.ts"
import { stagesOf } from "./postgres/restore-stages.ts"
import type { TocEntry } from "./postgres/toc.ts"
import { type RestoreJob, type Restoring, restoringInto } from "./restore-job.ts"

/**
 * Restores the planned entries into a new database, several at once: first what takes rows, then the rows, each
 * stream straight from the storage, and then indexes, constraints and all else that is quicker, or right, only
 * when the rows are there. It goes on after what PostgreSQL refuses, to find all of it.
 */
export async function restoreInStages(
  job: RestoreJob,
  plan: RestorePlan,
  database: string,
  context: Context,
): Promise<RestoreOutcome> {
  const stages = stagesOf(plan.entries)
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const plain = restoringInto(job, database, context, signal)
  const restoring = { ...plain, env: await loadingEnv(job.clients, plain.connection, plain) }
  const head = await placeFile(job.joined.ownHead, childEnv(restoring.connection, restoring.env))
  const definitions = (stage: string, entries: readonly TocEntry[], jobs: number) => () =>
    restoreDefinitions(head, entries, { ...restoring, jobs, stage })
  try {
    let outcome: RestoreOutcome = nothingYet
    for (const restoreStage of [
      definitions("schema", stages.schema, 1),
      () => restoreRows(job, stages.rows, restoring, stop),
      definitions("indexes and keys", stages.keys, job.jobs),
      definitions("the rest", stages.rest, 1),
    ])
      if (outcome.state !== "failed") outcome = joined(outcome, await restoreStage())
    context.signal.throwIfAborted()
    return outcome
  } finally {
    await head.remove()
  }
}

const nothingYet: RestoreOutcome = { state: "ok", errors: [], warnings: [], readToEnd: true }

/** What two parts come to together. The failure is that of the first that failed. */
function joined(before: RestoreOutcome, after: RestoreOutcome): RestoreOutcome {
  const errors = [...before.errors, ...after.errors]
  const warnings = [...new Set([...before.warnings, ...after.warnings])]
  const failed = [before, after].find(({ state }) => state === "failed")
  if (failed) return { ...failed, errors, warnings }
  if (before.state !== "ok" || after.state !== "ok") return { state: "errors", errors, warnings }
  return { state: "ok", errors, warnings, readToEnd: before.readToEnd && after.readToEnd }
}

async function restoreDefinitions(
  head: PlacedFile,
  entries: readonly TocEntry[],
  { show, stage, ...options }: Restoring & { readonly stage: string; readonly jobs: number },
): Promise<RestoreOutcome> {
  if (entries.length === 0) return nothingYet
  let count = 0
  return restoreHead(head, {
    ...options,
    entries,
    mode: "collect",
    onStep({ kind, object }) {
      count += 1
      show(stage, `${count} of ${entries.length}, ${kind.toLowerCase()} ${object}`)
    },
  })
}

/**
 * Restores the rows, from several objects at once, the largest segment first. The first stream that fails ends the
 * others by `stop`.
 */
async function restoreRows(
  { manifest, main, joined: archive, session, zstd, jobs, options: { selection } }: RestoreJob,
  entries: readonly TocEntry[],
  { open, show, ...options }: Restoring,
  stop: AbortController,
): Promise<RestoreOutcome> {
  const nameOf = (object: ManifestObject) => `${manifest.id} ${object.name}`
  const chosen = new Set(entries)
  const tables = archive.tables.filter(({ entry }) => chosen.has(entry))
  const segmented = new Set(tables.map(({ entry }) => entry))

  const loadMain = () =>
    restoreMain(open(main), {
      ...options,
      name: nameOf(main),
      entries: entries.filter((entry) => !segmented.has(entry)),
      partial: selection !== undefined,
      mode: "collect",
      compressed: true,
      zstd,
      onStep: ({ kind, object }) => show("rows", `${kind.toLowerCase()} ${object}`),
    })
  const loadSegment = async (segment: SegmentObject): Promise<RestoreOutcome> => {
    show("rows", `table data ${segment.table}`)
    const error = await copyIn(open(segment), segment, {
      ...options,
      name: nameOf(segment),
      serverMajor: session.serverMajor,
      encoding: manifest.source.encoding,
      zstd,
    })
    if (error) return { state: "errors", errors: [error], warnings: [] }
    return { state: "ok", errors: [], warnings: [], readToEnd: true }
  }
  const segments = tables.flatMap((table) => table.segments).toSorted((a, b) => b.rawBytes - a.rawBytes)
  // The small tables first: each takes some time, and few bytes.
  const streams = [loadMain, ...segments.map((segment) => () => loadSegment(segment))]
  const outcomes = await mapConcurrently(streams, jobs, async (load) => {
    const outcome = await outcomeOf(load, options.signal)
    if (outcome.state === "failed") stop.abort(outcome.failure)
    return outcome
  })
  return outcomes.reduce(joined, nothingYet)
}

/** What rejects is a failure, too; nothing is begun after the signal's. */
async function outcomeOf(load: () => Promise<RestoreOutcome>, signal: AbortSignal): Promise<RestoreOutcome> {
  try {
    signal.throwIfAborted()
    return await load()
  } catch (error) {
    if (!(error instanceof PgstowError)) throw error
    return { state: "failed", errors: [], warnings: [], failure: error }
  }
}
