import { type Archive, withoutQuoted } from "./archive.ts"
import type { TocEntry } from "./toc.ts"

export type Stages = {
  /** What takes rows, and what that needs. */
  readonly schema: readonly TocEntry[]
  readonly rows: readonly TocEntry[]
  /** Indexes and keys, of which several may be made at once. */
  readonly keys: readonly TocEntry[]
  /** All else, one after the other. */
  readonly rest: readonly TocEntry[]
}

/**
 * An archive's entries by when they are to be restored, in their order.
 *
 * `pg_restore --jobs` does all that comes after the rows side by side, as far as the archive knows of no dependency.
 * That is more than is safe: attaching the index of a partition, or giving a foreign key to a partitioned table,
 * takes locks that it knows nothing of, and ends in a deadlock now and then; and a policy that comes before a
 * foreign key can keep the key's check from its rows. Only what takes the time is worth it.
 */
export function stagesOf(archive: Archive): Stages {
  const trees = partitionTrees(archive)
  const late = new Set<TocEntry>()
  const stageOf = (entry: TocEntry): keyof Stages => {
    if (isGrant(entry)) return "rest"
    if (entry.section === "pre-data") return "schema"
    if (entry.section === "data") return "rows"
    // What an entry needs stands before it.
    const waits = archive.needs(entry).some((other) => late.has(other))
    if (!waits && locksOnlyItsTables(entry, archive.hosts(entry), trees)) return "keys"
    late.add(entry)
    return "rest"
  }
  return { schema: [], rows: [], keys: [], rest: [], ...Object.groupBy(archive.entries, stageOf) }
}

/** Comes last, as in pg_restore: without it, the owner of a table is always let in. */
function isGrant({ kind }: TocEntry): boolean {
  return kind === "ACL" || kind === "DEFAULT ACL"
}

type PartitionTrees = {
  readonly tables: ReadonlySet<TocEntry>
  /** Those of them that have partitions. */
  readonly parents: ReadonlySet<TocEntry>
}

function partitionTrees({ entries, dependencies, owner }: Archive): PartitionTrees {
  const attached = entries.filter(({ kind }) => kind === "TABLE ATTACH")
  return {
    tables: new Set(attached.flatMap(dependencies)),
    parents: new Set(attached.flatMap((entry) => dependencies(entry).filter((one) => one !== owner(entry)))),
  }
}

/** And each of these once: what locks a table again waits for others that do. */
function locksOnlyItsTables(
  { kind, definition }: TocEntry,
  tables: readonly TocEntry[],
  trees: PartitionTrees,
): boolean {
  // To cluster by an index, or to tell rows apart by it, is a second lock.
  if (kind === "INDEX" && withoutQuoted(definition).includes("\nALTER ")) return false
  if (kind === "INDEX" || kind === "CONSTRAINT") return !tables.some((table) => trees.parents.has(table))
  return kind === "FK CONSTRAINT" && !tables.some((table) => trees.tables.has(table))
}

/**
 * What of the entries acts on rows that come later, apart from what does not: triggers, rules, publications, and what
 * hangs on these.
 */
export function guardsAmong(
  archive: Archive,
  entries: readonly TocEntry[],
): { readonly guards: readonly TocEntry[]; readonly others: readonly TocEntry[] } {
  const guards = new Set<TocEntry>()
  // What an entry depends on stands before it.
  for (const entry of entries)
    if (isGuard(archive, entry) || archive.dependencies(entry).some((one) => guards.has(one)))
      guards.add(entry)
  return { guards: [...guards], others: entries.filter((entry) => !guards.has(entry)) }
}

function isGuard({ isInherent }: Archive, entry: TocEntry): boolean {
  if (entry.kind === "RULE") return !isInherent(entry)
  return /TRIGGER|^PUBLICATION|^SUBSCRIPTION|^POLICY$|^ROW SECURITY$/.test(entry.kind)
}
