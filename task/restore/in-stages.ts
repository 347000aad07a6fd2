import { relateEntries } from "../archive/archive.ts"
import { type LoadStep, loadSteps } from "../archive/load-steps.ts"
import type { RestorePlan } from "../archive/plan-restore.ts"
import { stagesOf } from "../archive/stages.ts"
import { tablesAmong } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import { runSteps } from "../core/run-steps.ts"
import { PgstowError } from "../errors.ts"
import { childEnv } from "../postgres/connection.ts"
import { copyIn } from "../postgres/copy-in.ts"
import { type RestoreOutcome, restoreHead, restoreMain } from "../postgres/pg-restore.ts"
import { settingsOfLoading, withSettings } from "../postgres/session-settings.ts"
import { type PlacedFile, placeFile } from "../processes/place-file.ts"
import { type RestoreJob, type Restoring, restoringInto } from "./job.ts"

/**
 * Restores the planned entries into a new database, several at once: first what takes rows; then the rows, each
 * stream straight from the storage, and the keys of what has all its rows; at last all that needs what is there by
 * then. It goes on after what PostgreSQL refuses, to find all of it.
 */
export async function restoreInStages(
  job: RestoreJob,
  plan: RestorePlan,
  database: string,
  context: Context,
): Promise<RestoreOutcome> {
  const archive = relateEntries(plan.entries)
  const stages = stagesOf(archive)
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const plain = restoringInto(job, database, context, signal)
  const restoring = { ...plain, connection: withSettings(plain.connection, settingsOfLoading) }
  const head = await placeFile(job.joined.ownHead, childEnv(restoring.connection, restoring.env), signal)
  try {
    let outcome = await restoreDefinitions(head, "schema", stages.schema, restoring)
    const load = async (step: LoadStep): Promise<RestoreOutcome> => {
      const loaded = await outcomeOf(() => runStep(job, head, step, restoring), signal)
      // The first failure ends the others.
      if (loaded.state === "failed") stop.abort(loaded.failure)
      return loaded
    }
    if (outcome.state !== "failed") {
      const steps = loadSteps(archive, stages, tablesAmong(plan.entries, job.joined), job.jobs)
      outcome = (await runSteps(steps, job.jobs, load)).reduce(joined, outcome)
    }
    context.signal.throwIfAborted()
    if (outcome.state !== "failed")
      outcome = joined(outcome, await restoreDefinitions(head, "the rest", stages.rest, restoring))
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
  stage: string,
  entries: readonly TocEntry[],
  { show, ...options }: Restoring,
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

async function runStep(
  { manifest, main, session, zstd, options: { selection } }: RestoreJob,
  head: PlacedFile,
  step: LoadStep,
  restoring: Restoring,
): Promise<RestoreOutcome> {
  const { open, show, ...options } = restoring
  const stage = "rows and keys"
  if (step.kind === "keys") return restoreDefinitions(head, stage, step.entries, restoring)
  if (step.kind === "rows")
    return restoreMain(open(main), {
      ...options,
      name: `${manifest.id} ${main.name}`,
      entries: step.entries,
      partial: selection !== undefined,
      mode: "collect",
      compressed: true,
      zstd,
      onStep: ({ kind, object }) => show(stage, `${kind.toLowerCase()} ${object}`),
    })
  const { segment } = step
  show(stage, `table data ${segment.table}`)
  const error = await copyIn(open(segment), segment, {
    ...options,
    name: `${manifest.id} ${segment.name}`,
    serverMajor: session.serverMajor,
    encoding: manifest.source.encoding,
    zstd,
  })
  return error ? { state: "errors", errors: [error], warnings: [] } : nothingYet
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
