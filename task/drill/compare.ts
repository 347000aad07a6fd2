import type { TocEntry } from "../archive/toc.ts"
import { formatName } from "../console/format.ts"
import type { DrillRecord, Problem } from "../core/check.ts"
import type { Expectation } from "../core/expectation.ts"
import { compareDefinitions, countKinds } from "./compare-definitions.ts"
import { compareLargeObjects } from "./compare-large-objects.ts"
import { compareRows } from "./compare-rows.ts"
import { compareSequences, findSequencesBehind } from "./compare-sequences.ts"
import { dumpDefinitions } from "./dump-definitions.ts"
import { compareExpectations } from "./expectations.ts"
import { findDisabledKeys, findInvalidConstraints, findInvalidIndexes } from "./find-invalid.ts"
import { findLyingIndexes } from "./find-lying-indexes.ts"
import { findUnreadable } from "./find-unreadable.ts"
import { readNamesThere } from "./names-there.ts"
import type { Findings, Restored } from "./restored.ts"

export type Comparison = Findings & Pick<DrillRecord, "rows" | "objects">

/** So many of one comparison are recorded. */
const mostTold = 100

/**
 * Holds a restored database against what the backup says of it. Changes nothing there but that it makes the extension
 * amcheck at the end.
 *
 * @param reference as `compareDefinitions` takes it
 */
export async function compareRestored(
  restored: Restored,
  {
    expectations,
    reference,
  }: {
    readonly expectations: readonly Expectation[]
    readonly reference: () => Promise<readonly TocEntry[]>
  },
): Promise<Comparison> {
  const { archive, manifest, context } = restored
  const problems: Problem[] = []
  const notes: string[] = []
  const look = async <Found extends Findings>(
    what: string,
    compare: () => Promise<Found>,
  ): Promise<Found> => {
    context.signal.throwIfAborted()
    const stage = `comparing ${formatName(manifest.database)}: ${what}`
    context.progress.update({ stage, doneBytes: 0 })
    const found = await compare()
    problems.push(...shown(what, found.problems))
    notes.push(...found.notes)
    return found
  }
  let objects: Comparison["objects"] = {}
  let rows = 0
  if (archive) {
    const found = await definitionsOf(restored)
    objects = countKinds(found)
    const isSame = isSameVersion(restored)
    await look("definitions", () => compareDefinitions(archive.entries, found, reference, isSame))
    const names = await readNamesThere(restored.session, found)
    rows = (await look("rows", () => compareRows(restored, archive, names))).rows
    await look("large objects", () => compareLargeObjects(restored, archive))
    const differing = await look("sequences", () => compareSequences(restored, archive, names))
    const moved = new Set(differing.problems.map(({ object }) => object))
    await look("sequences and columns", () => findSequencesBehind(restored, moved))
  }
  if (!archive) notes.push("the backup is SQL: its definitions and rows could not be compared")
  await look("constraints", () => findInvalidConstraints(restored, archive?.entries ?? []))
  await look("keys", () => findDisabledKeys(restored))
  await look("indexes", () => findInvalidIndexes(restored))
  await look("tables and views", () => findUnreadable(restored))
  if (expectations.length > 0) await look("expectations", () => compareExpectations(restored, expectations))
  await look("indexes and tables", () => findLyingIndexes(restored))
  return { problems, notes, rows, objects }
}

function definitionsOf({ manifest, clients, connection, session, context }: Restored) {
  const { source } = manifest
  return dumpDefinitions(clients, connection, {
    serverMajor: session.serverMajor,
    archiveMajor: Number.parseInt(source.clientVersion, 10),
    encoding: source.encoding,
    env: context.env,
    signal: context.signal,
  })
}

function isSameVersion({ manifest: { source }, session: { serverMajor } }: Restored): boolean {
  const [server, client] = [source.serverVersion, source.clientVersion].map((one) => Number.parseInt(one, 10))
  return server === serverMajor && client === serverMajor
}

function shown(what: string, problems: readonly Problem[]): readonly Problem[] {
  if (problems.length <= mostTold) return problems
  const more = problems.length - mostTold
  return [
    ...problems.slice(0, mostTold),
    { object: what, expected: "no problem", found: `${more} more like these` },
  ]
}
