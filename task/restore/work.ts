import { withStatements } from "../archive/added-statements.ts"
import { type Copies, withCopiesInto } from "../archive/rows-by-root.ts"
import { runsByPath, withSearchPath } from "../archive/search-path.ts"
import { joinedArchive } from "../archive/table-data.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Context } from "../context.ts"
import type { ManifestObject } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { childEnv, withSettings } from "../postgres/connection.ts"
import { copyIn } from "../postgres/copy-in.ts"
import { type RestoreOutcome, restoreHead, restoreMain } from "../postgres/pg-restore.ts"
import { settingsOfLoading } from "../postgres/session-settings.ts"
import { type PlacedFile, placeFile } from "../processes/place-file.ts"
import { decompress } from "../streams/decompress.ts"
import { type Attempt, attempted, joined, nothingYet, type Work } from "./in-rounds.ts"
import { type MeasuredJob, type RestoreJob, type Restoring, restoringInto } from "./job.ts"
import { followSteps } from "./pace.ts"

/** Does the works of one restore, each by a program of its own; several at once. */
export type Worker = {
  /** Rows of the tables in `copies` go into the tables given there. The first failure ends what else is being done. */
  readonly attempt: (work: Work, copies?: Copies) => Promise<Attempt>
  /** Whether any of them has read the main object to its end. */
  readonly isMainRead: () => boolean
  readonly close: () => Promise<void>
}

/**
 * @param statements to be run right after definitions, by these entries' dumpId
 */
export function workInto(
  job: MeasuredJob,
  database: string,
  context: Context,
  statements: ReadonlyMap<number, string>,
): Worker {
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
  let isRead = false
  return {
    async attempt(work, copies = new Map()) {
      const outcome = await outcomeOf(() => runWork(job, heads, work, copies, restoring), signal)
      if (work.kind === "rows" && outcome.state === "ok" && outcome.readToEnd) isRead = true
      if (outcome.state === "failed") stop.abort(outcome.failure)
      return attempted(work, outcome)
    },
    isMainRead: () => isRead,
    close: heads.remove,
  }
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
