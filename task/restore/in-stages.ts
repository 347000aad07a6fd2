import { type Archive, relateEntries } from "../archive/archive.ts"
import { type LoadStep, loadSteps } from "../archive/load-steps.ts"
import type { RestorePlan } from "../archive/plan-restore.ts"
import { type Copies, copiesInto, rootsByText } from "../archive/rows-by-root.ts"
import { guardsAmong, type Stages, stagesOf } from "../archive/stages.ts"
import { tablesAmong } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import { runSteps } from "../core/run-steps.ts"
import type { RestoreOutcome } from "../postgres/pg-restore.ts"
import { type Attempt, inRounds, joined, nothingYet, putOff } from "./in-rounds.ts"
import type { MeasuredJob } from "./job.ts"
import { lendCreate } from "./lend-create.ts"
import { lendSearchPath } from "./lend-search-path.ts"
import { type Worker, workInto } from "./work.ts"

/**
 * Restores the planned entries into a new database, several at once: first what takes rows; then the rows, each
 * stream straight from the storage, and the keys of what has all its rows; at last all that needs what is there by
 * then. What PostgreSQL refuses is tried again when more is there; it goes on after that, to find all of it.
 *
 * @param statements to be run right after definitions, by these entries' dumpId
 */
export async function restoreInStages(
  job: MeasuredJob,
  plan: RestorePlan,
  database: string,
  context: Context,
  statements: ReadonlyMap<number, string>,
): Promise<RestoreOutcome> {
  const archive = relateEntries(plan.entries)
  const stages = stagesOf(archive)
  const worker = workInto(job, database, context, statements)
  try {
    const schema = await makeSchema(worker, job, plan, stages.schema, database)
    const roots = rootsByText(archive, refusedOf(schema.attempts))
    const steps = loadSteps(archive, stages, tablesAmong(plan.entries, job.joined), job.jobs, roots)
    const loaded = await load(worker, archive, stages, steps, copiesInto(archive, roots), job.jobs)
    context.signal.throwIfAborted()
    const outcome = [...schema.attempts, ...loaded].map((one) => one.outcome).reduce(joined, nothingYet)
    // Of what is lost nothing more is expected than its name says.
    if (outcome.state !== "failed") for (const takeBack of schema.lent) await takeBack()
    return outcome.state === "ok" ? { ...outcome, readToEnd: worker.isMainRead() } : outcome
  } finally {
    await worker.close()
  }
}

type Schema = {
  readonly attempts: readonly Attempt[]
  /** Takes back what was lent to make it, and to load into it. */
  readonly lent: readonly (() => Promise<void>)[]
}

async function makeSchema(
  worker: Worker,
  job: MeasuredJob,
  plan: RestorePlan,
  entries: readonly TocEntry[],
  database: string,
): Promise<Schema> {
  const lend = () => lendSearchPath(job.target, database, job.options.searchPath ?? [])
  const { SCHEMA: schemas = [], others = [] } = Object.groupBy(entries, ({ kind }) =>
    kind === "SCHEMA" ? kind : "others",
  )
  const made = await define(worker, "schema", schemas)
  const lent = isFailed(made) ? [] : [await lendCreate(job, plan.entries, database)]
  const first = await define(worker, "schema", others)
  // Functions come first, and what is refused because of what they look up may be accepted now.
  if (!isFailed(first)) lent.push(await lend())
  const attempts = await inRounds([made, first], worker.attempt)
  if (first.left !== undefined && !attempts.some(isFailed)) lent.push(await lend())
  return { attempts, lent }
}

async function load(
  worker: Worker,
  archive: Archive,
  stages: Stages,
  steps: readonly LoadStep[],
  copies: Copies,
  jobs: number,
): Promise<Attempt[]> {
  const again = (attempts: readonly Attempt[]) => inRounds(attempts, (work) => worker.attempt(work, copies))
  let areRefused = false
  const tried = await runSteps(steps, jobs, async (step) => {
    // Rows that another round may bring would not be seen.
    if (step.readsRows && areRefused) return putOff(step)
    const done = await worker.attempt(step, copies)
    if (step.kind !== "keys" && done.left) areRefused = true
    return done
  })
  const attemptsOf = (isOne: (step: LoadStep) => boolean) =>
    tried.filter((_, index) => steps.slice(index, index + 1).some(isOne))
  let early = await again(attemptsOf(({ kind, readsRows }) => kind !== "keys" && !readsRows))
  let late = await again(attemptsOf(({ kind, readsRows }) => kind !== "keys" && readsRows))
  if (late.length > 0) early = await again(early)
  const keys = await again(attemptsOf(({ kind }) => kind === "keys"))
  const rest: Attempt[] = []
  const isLeft = [...early, ...late].some(({ left }) => left !== undefined)
  if (!isLeft) rest.push(await define(worker, "the rest", stages.rest))
  else {
    // They may want what comes here, and must not meet a trigger then.
    const { guards, others } = guardsAmong(archive, stages.rest)
    rest.push(await define(worker, "the rest", others))
    early = await again(early)
    late = await again(late)
    rest.push(await define(worker, "the rest", guards))
  }
  return [...early, ...late, ...(await again([...keys, ...rest]))]
}

function define(worker: Worker, stage: string, entries: readonly TocEntry[]): Promise<Attempt> {
  return worker.attempt({ kind: "definitions", stage, entries })
}

function isFailed({ outcome }: Attempt): boolean {
  return outcome.state === "failed"
}

function refusedOf(attempts: readonly Attempt[]): Set<number> {
  return new Set(attempts.flatMap(({ outcome }) => outcome.errors.flatMap(({ dumpId }) => dumpId ?? [])))
}
