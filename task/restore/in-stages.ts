import { withStatements } from "../archive/added-statements.ts"
import { relateEntries } from "../archive/archive.ts"
import { type LoadStep, loadSteps } from "../archive/load-steps.ts"
import type { RestorePlan } from "../archive/plan-restore.ts"
import { type Copies, copiesInto, rootsByText, withCopiesInto } from "../archive/rows-by-root.ts"
import { runsByPath, withSearchPath } from "../archive/search-path.ts"
import { guardsAmong, stagesOf } from "../archive/stages.ts"
import { joinedArchive, tablesAmong } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import type { ManifestObject } from "../core/manifest.ts"
import { runSteps } from "../core/run-steps.ts"
import { PgstowError } from "../errors.ts"
import { childEnv, withSettings } from "../postgres/connection.ts"
import { copyIn } from "../postgres/copy-in.ts"
import { type RestoreOutcome, restoreHead, restoreMain } from "../postgres/pg-restore.ts"
import { settingsOfLoading } from "../postgres/session-settings.ts"
import { type PlacedFile, placeFile } from "../processes/place-file.ts"
import { decompress } from "../streams/decompress.ts"
import { type Attempt, attempted, inRounds, joined, nothingYet, putOff, type Work } from "./in-rounds.ts"
import { type MeasuredJob, type RestoreJob, type Restoring, restoringInto } from "./job.ts"
import { lendCreate } from "./lend-create.ts"
import { lendSearchPath } from "./lend-search-path.ts"
import { followSteps } from "./pace.ts"

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
  const stop = new AbortController()
  const signal = AbortSignal.any([context.signal, stop.signal])
  const plain = restoringInto(job, database, context, signal)
  const restoring = { ...plain, connection: withSettings(plain.connection, settingsOfLoading) }
  const heads = headsOf(withStatements(job.joined.ownHead, statements), (content) =>
    placeFile(
      content,
      { prefix: job.clients.pgRestore.prefix, env: childEnv(restoring.connection, restoring.env) },
      signal,
    ),
  )
  // One of several passes over it is enough.
  let isMainRead = false
  let copies: Copies = new Map()
  const attempt = async (work: Work): Promise<Attempt> => {
    const outcome = await outcomeOf(() => runWork(job, heads, work, copies, restoring), signal)
    if (work.kind === "rows" && outcome.state === "ok" && outcome.readToEnd) isMainRead = true
    // The first failure ends the others.
    if (outcome.state === "failed") stop.abort(outcome.failure)
    return attempted(work, outcome)
  }
  const define = (stage: string, entries: readonly TocEntry[]) =>
    attempt({ kind: "definitions", stage, entries })
  const again = (attempts: readonly Attempt[]) => inRounds(attempts, attempt)
  try {
    const lend = () => lendSearchPath(job.target, database, job.options.searchPath ?? [])
    const { SCHEMA: schemas = [], others = [] } = Object.groupBy(stages.schema, ({ kind }) =>
      kind === "SCHEMA" ? kind : "others",
    )
    const made = await define("schema", schemas)
    const lent = made.outcome.state === "failed" ? [] : [await lendCreate(job, plan.entries, database)]
    const first = await define("schema", others)
    // Functions come first, and what is refused because of what they look up may be accepted now.
    if (first.outcome.state !== "failed") lent.push(await lend())
    const schema = await again([made, first])
    if (first.left !== undefined && schema.every(({ outcome }) => outcome.state !== "failed"))
      lent.push(await lend())
    const roots = rootsByText(archive, refusedOf(schema))
    copies = copiesInto(archive, roots)
    const steps = loadSteps(archive, stages, tablesAmong(plan.entries, job.joined), job.jobs, roots)
    let areRefused = false
    const tried = await runSteps(steps, job.jobs, async (step) => {
      // Rows that another round may bring would not be seen.
      if (step.readsRows && areRefused) return putOff(step)
      const done = await attempt(step)
      if (step.kind !== "keys" && done.left) areRefused = true
      return done
    })
    const attemptsOf = (isOne: (step: LoadStep) => boolean) =>
      tried.filter((_, index) => steps.slice(index, index + 1).some(isOne))
    let early = await again(attemptsOf(({ kind, readsRows }) => kind !== "keys" && !readsRows))
    let late = await again(attemptsOf(({ kind, readsRows }) => kind !== "keys" && readsRows))
    if (late.length > 0) early = await again(early)
    let keys = await again(attemptsOf(({ kind }) => kind === "keys"))
    const rest: Attempt[] = []
    const isLeft = [...early, ...late].some(({ left }) => left !== undefined)
    if (!isLeft) rest.push(await define("the rest", stages.rest))
    else {
      // They may want what comes here, and must not meet a trigger then.
      const { guards, others } = guardsAmong(archive, stages.rest)
      rest.push(await define("the rest", others))
      early = await again(early)
      late = await again(late)
      rest.push(await define("the rest", guards))
    }
    keys = await again([...keys, ...rest])
    context.signal.throwIfAborted()
    const outcome = [...schema, ...early, ...late, ...keys]
      .map((one) => one.outcome)
      .reduce(joined, nothingYet)
    // Of what is lost nothing more is expected than its name says.
    if (outcome.state !== "failed") for (const takeBack of lent) await takeBack()
    return outcome.state === "ok" ? { ...outcome, readToEnd: isMainRead } : outcome
  } finally {
    await heads.remove()
  }
}

function refusedOf(attempts: readonly Attempt[]): Set<number> {
  return new Set(attempts.flatMap(({ outcome }) => outcome.errors.flatMap(({ dumpId }) => dumpId ?? [])))
}

/** The archive's head in files, by the schemas that names are looked up in. */
type Heads = {
  readonly of: (schemas: readonly string[]) => Promise<PlacedFile>
  readonly remove: () => Promise<void>
}

function headsOf(ownHead: Buffer, place: (content: Buffer) => Promise<PlacedFile>): Heads {
  const placed = new Map<string, Promise<PlacedFile>>()
  return {
    of(schemas) {
      const key = JSON.stringify(schemas)
      const head = placed.get(key) ?? place(schemas.length > 0 ? withSearchPath(ownHead, schemas) : ownHead)
      placed.set(key, head)
      return head
    },
    async remove() {
      for (const head of await Promise.allSettled(placed.values()))
        if (head.status === "fulfilled") await head.value.remove()
    },
  }
}

async function restoreDefinitions(
  { manifest, pace }: MeasuredJob,
  heads: Heads,
  stage: string,
  entries: readonly TocEntry[],
  { show, ...options }: Restoring,
): Promise<RestoreOutcome> {
  if (entries.length === 0) return nothingYet
  let outcome = nothingYet
  for (const run of runsByPath(entries, manifest.operatorPaths ?? [])) {
    const follower = followSteps(pace, run.entries)
    const more = await restoreHead(await heads.of(run.schemas), {
      ...options,
      entries: run.entries,
      mode: "collect",
      onStep: (step) => show(stage, follower.step(step)),
    })
    follower.end()
    outcome = joined(outcome, more)
    if (outcome.state === "failed") break
  }
  return outcome
}

/** Whether pg_restore must read the archive to its end to restore these. */
function holdsLastRows({ archive, joined: { tables } }: RestoreJob, entries: readonly TocEntry[]): boolean {
  const elsewhere = new Set(tables.map(({ entry }) => entry))
  const last = archive.findLast((entry) => entry.hasData && !elsewhere.has(entry))
  return last !== undefined && entries.includes(last)
}

async function runWork(
  job: MeasuredJob,
  heads: Heads,
  work: Work,
  copies: Copies,
  restoring: Restoring,
): Promise<RestoreOutcome> {
  const { manifest, main, joined, target, zstd } = job
  const { open, show, ...options } = restoring
  const stage = "rows and keys"
  if (work.kind === "definitions") return restoreDefinitions(job, heads, work.stage, work.entries, restoring)
  if (work.kind === "keys") return restoreDefinitions(job, heads, stage, work.entries, restoring)
  if (work.kind === "rows") {
    const openRaw = (object: ManifestObject) =>
      decompress(open(object), `${manifest.id} ${object.name}`, object.rawBytes)
    const { ownHead } = joined
    const isChanged = work.entries.some(({ dumpId }) => copies.has(dumpId))
    const changed = { ownHead, head: isChanged ? withCopiesInto(ownHead, copies) : ownHead }
    const stream = isChanged ? joinedArchive(() => openRaw(main), changed, ["archive"], openRaw) : open(main)
    return restoreMain(stream, {
      ...options,
      name: `${manifest.id} ${main.name}`,
      entries: work.entries,
      // The last rows may be for another pass, or for none.
      partial: !holdsLastRows(job, work.entries),
      mode: "collect",
      compressed: !isChanged,
      mostBytes: main.rawBytes,
      zstd,
      onStep: ({ kind, object }) => show(stage, `${kind.toLowerCase()} ${object}`),
    })
  }
  const { segment } = work
  show(stage, `table data ${segment.table}`)
  const root = copies.get(work.entry.dumpId)
  const error = await copyIn(open(segment), segment, {
    ...options,
    into: root && { schema: root.schema ?? "", table: root.name },
    name: `${manifest.id} ${segment.name}`,
    serverMajor: target.serverMajor,
    encoding: manifest.source.encoding,
    zstd,
  })
  if (!error) return nothingYet
  const errors = [{ ...error, dumpId: work.entry.dumpId, object: segment.name }]
  return { state: "errors", errors, warnings: [] }
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
