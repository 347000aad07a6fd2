import { formatRelationName } from "../archive/relation-name.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { Problem } from "../core/check.ts"
import type { Findings } from "./restored.ts"

/** Rows, and what is compared elsewhere or belongs to the database itself, whose name is another. */
const notCompared = new Set([
  "ENCODING",
  "STDSTRINGS",
  "SEARCHPATH",
  "DATABASE",
  "DATABASE PROPERTIES",
  "TABLE DATA",
  "MATERIALIZED VIEW DATA",
  "SEQUENCE SET",
  "BLOB",
  "BLOB METADATA",
  "BLOBS",
  "STATISTICS DATA",
  "SUBSCRIPTION TABLE",
])

const ofOthers = /^(DATABASE|LARGE OBJECTS?|EXTENSION) /
const remarks = new Set(["ACL", "COMMENT", "SECURITY LABEL"])

/** The entries that say how something is defined. */
export function definitionsAmong(entries: readonly TocEntry[]): TocEntry[] {
  return entries.filter(
    ({ kind, name }) => !notCompared.has(kind) && !(remarks.has(kind) && ofOthers.test(name)),
  )
}

/** How many objects there are of each kind, in pg_dump's words; without what only says something of others. */
export function countKinds(entries: readonly TocEntry[]): Record<string, number> {
  const kinds = Map.groupBy(
    definitionsAmong(entries).filter(({ kind }) => !remarks.has(kind)),
    ({ kind }) => kind,
  )
  return Object.fromEntries([...kinds].map(([kind, all]) => [kind, all.length]))
}

/** All entries of one name: what a server holds of it. */
type Definitions = ReadonlyMap<string, readonly TocEntry[]>

/**
 * Compares definitions as pg_dump writes them: what is in the backup, and what was restored, of every object by its kind and
 * name.
 *
 * Other versions, and other time zones, put the same into other words. So where anything differs, `reference` is asked
 * for: what comes of the same definitions, without rows, on the same server. What is as there is right, unless it should
 * be there by the backup and is in neither, on a server of the version that was backed up.
 */
export async function compareDefinitions(
  expected: readonly TocEntry[],
  found: readonly TocEntry[],
  reference: () => Promise<readonly TocEntry[]>,
  isSameVersion: boolean,
): Promise<Findings> {
  const [wanted, there] = [byName(expected), byName(found)]
  const differing = [...new Set([...wanted.keys(), ...there.keys()])].filter(
    (name) => textOf(wanted.get(name)) !== textOf(there.get(name)),
  )
  if (differing.length === 0) return { problems: [], notes: [] }
  const referred = byName(await reference())
  const problems = differing.flatMap((name): Problem[] => {
    const [own, now, again] = [wanted.get(name), there.get(name), referred.get(name)]
    const isLost = now === undefined && isSameVersion
    if (textOf(now) === textOf(again) && !isLost) return []
    return [problemOf(again ?? own, now)]
  })
  return { problems, notes: [] }
}

function byName(entries: readonly TocEntry[]): Definitions {
  return Map.groupBy(definitionsAmong(entries), ({ kind, schema, name, owner }) =>
    // Default privileges of several roles have one name.
    JSON.stringify([kind, schema ?? "", name, kind === "DEFAULT ACL" ? owner : ""]),
  )
}

/** The same where they mean the same. */
function textOf(entries: readonly TocEntry[] | undefined): string | undefined {
  return entries
    ?.map(({ owner, ...entry }) => `${definitionOf(entry)}\n-- ${owner}`)
    .toSorted()
    .join("\n")
}

function definitionOf({ kind, definition }: Pick<TocEntry, "kind" | "definition">): string {
  // A copy gets neither the original's slot nor its rows.
  if (kind === "SUBSCRIPTION") return ""
  // Newer minor versions of a server number the versions of columns, which an older pg_dump takes for an option.
  return definition.replaceAll(/^ALTER TABLE (?:"(?:[^"]|"")*"|[^";])* SET \(pg_attver=\d+\);\n/gm, "")
}

function problemOf(expected: readonly TocEntry[] = [], found: readonly TocEntry[] = []): Problem {
  const [one] = [...expected, ...found]
  const object = one ? nameOf(one) : ""
  const lines = (entries: readonly TocEntry[]) =>
    entries.flatMap((entry) => [...definitionOf(entry).split("\n"), `belongs to ${entry.owner}`])
  if (found.length === 0) return { object, expected: "as in the backup", found: "no such object" }
  if (expected.length === 0) return { object, expected: "no such object", found: shortened(lines(found)) }
  const [before, after] = [lines(expected), lines(found)]
  const only = (these: readonly string[], those: readonly string[]) =>
    shortened(these.filter((line) => line.trim() !== "" && !those.includes(line)))
  return { object, expected: only(before, after), found: only(after, before) }
}

const longest = 300

function shortened(lines: readonly string[]): string {
  const text = lines
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(" ")
  if (text === "") return "nothing there"
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}

/** "view shop.totals", "trigger shop.orders audit". */
function nameOf({ kind, schema, name }: TocEntry): string {
  // Of a part, the name is that of its table and its own, with no more in quotes than the archive has.
  return `${kind.toLowerCase()} ${schema === undefined ? name : / /.test(name) ? `${schema}.${name}` : formatRelationName({ schema, name })}`
}
