import type { TocEntry } from "./toc.ts"

/** The entries of an archive, and what they have to do with each other. */
export type Archive = {
  readonly entries: readonly TocEntry[]
  /** What the archive says that an entry depends on, and holds. */
  readonly dependencies: (entry: TocEntry) => readonly TocEntry[]
  /** What must come for an entry to come along. An entry without hosts stands alone. */
  readonly hosts: (entry: TocEntry) => readonly TocEntry[]
  /** The relation or domain that an entry is a part of: one of its hosts. */
  readonly owner: (entry: TocEntry) => TocEntry | undefined
  /** The partitions of a table, and the tables that inherit from it. */
  readonly children: (table: TocEntry) => readonly TocEntry[]
  /** The rules of a view: where views depend on each other, its query is one. */
  readonly rules: (view: TocEntry) => readonly TocEntry[]
  /** What an entry can't be made without. */
  readonly needs: (entry: TocEntry) => readonly TocEntry[]
  /** Whether `entry` is made for a partition by itself, and attached to `parent`, of the parent table, later. */
  readonly isAttached: (entry: TocEntry, parent: TocEntry) => boolean
  /** Whether its hosts would not be what they were without this entry, even if they hold no rows. */
  readonly isInherent: (entry: TocEntry) => boolean
}

export const relationKinds = new Set(["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"])

/** Whether it holds rows. */
export function isTable({ kind }: TocEntry): boolean {
  return kind === "TABLE" || kind === "FOREIGN TABLE" || kind === "MATERIALIZED VIEW"
}

/** Says something of another object. */
const remarks = new Set(["COMMENT", "ACL", "SECURITY LABEL"])

/** Hangs on one relation or domain; its name is that one's, or that one's and one more. */
const parts = new Set([
  "TABLE DATA",
  "MATERIALIZED VIEW DATA",
  "DEFAULT",
  "CONSTRAINT",
  "CHECK CONSTRAINT",
  "RULE",
  "POLICY",
  "ROW SECURITY",
  "SEQUENCE SET",
  "SEQUENCE OWNED BY",
])

/** Hangs on the one table that it depends on; a sequence may also stand alone. */
const ofTable = new Set(["INDEX", "STATISTICS", "SEQUENCE"])

/** Hangs on all the relations that it depends on, and on all that hangs on such. */
const links = new Set(["FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH", "TRIGGER", "STATISTICS DATA"])

/** Of a partition, it is made as for any table, and attached to the parent's later. */
const attachable = new Set(["INDEX", "CONSTRAINT"])

export function relateEntries(entries: readonly TocEntry[]): Archive {
  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]))
  const dependencies = new Map(
    entries.map((entry) => [entry, [...new Set(entry.dependsOn)].flatMap((id) => byId.get(id) ?? [])]),
  )
  const owners = new Map<TocEntry, TocEntry>()
  const hosts = new Map<TocEntry, readonly TocEntry[]>()
  const children = new Map<TocEntry, TocEntry[]>()
  const rules = new Map<TocEntry, TocEntry[]>()
  const partitions = new Set<TocEntry>()

  // What an entry depends on stands before it.
  for (const [entry, needed] of dependencies) {
    const owner = needed
      .filter((other) => isNamedAfter(entry, other))
      .reduce<TocEntry | undefined>(longerName, undefined)
    if (owner) owners.set(entry, owner)
    if (owner && entry.kind === "RULE") add(rules, owner, entry)
    if (owner && entry.kind === "TABLE ATTACH") partitions.add(owner)
    const child = entry.kind === "TABLE ATTACH" ? owner : inherits(entry) ? entry : undefined
    if (child)
      for (const parent of needed)
        if (parent.kind === "TABLE" && parent !== child) add(children, parent, child)

    const isHost = (other: TocEntry) => {
      if (remarks.has(entry.kind)) return true
      if (parts.has(entry.kind)) return other === owner
      if (ofTable.has(entry.kind)) return isTable(other)
      return links.has(entry.kind) && (relationKinds.has(other.kind) || (hosts.get(other)?.length ?? 0) > 0)
    }
    hosts.set(entry, needed.filter(isHost))
  }

  const isAttached = (entry: TocEntry, parent: TocEntry) =>
    (partitions.has(entry) && parent.kind === "TABLE") ||
    (attachable.has(entry.kind) && attachable.has(parent.kind))
  return {
    entries,
    dependencies: (entry) => dependencies.get(entry) ?? [],
    hosts: (entry) => hosts.get(entry) ?? [],
    owner: (entry) => owners.get(entry),
    children: (table) => children.get(table) ?? [],
    rules: (view) => rules.get(view) ?? [],
    needs: (entry) => (dependencies.get(entry) ?? []).filter((other) => !isAttached(entry, other)),
    isAttached,
    isInherent: (entry) => {
      if (remarks.has(entry.kind) || entry.kind.startsWith("SEQUENCE ")) return true
      const owner = owners.get(entry)?.kind
      return (
        (entry.kind === "RULE" && owner === "VIEW") ||
        (entry.kind === "CHECK CONSTRAINT" && owner === "DOMAIN")
      )
    },
  }
}

/** Whether `entry` bears the name of the relation or domain `other`, or that and one more. */
function isNamedAfter(entry: TocEntry, other: TocEntry): boolean {
  return (
    (relationKinds.has(other.kind) || other.kind === "DOMAIN") &&
    entry.schema === other.schema &&
    (entry.name === other.name || entry.name.startsWith(`${other.name} `))
  )
}

function longerName(a: TocEntry | undefined, b: TocEntry): TocEntry {
  return a && a.name.length >= b.name.length ? a : b
}

function inherits({ kind, definition }: TocEntry): boolean {
  return kind === "TABLE" && withoutQuoted(definition).includes("\nINHERITS (")
}

/** A definition without what stands in quotes, which its author may have filled with anything. */
export function withoutQuoted(definition: string): string {
  return definition.replaceAll(/'[^']*'|"[^"]*"/g, "")
}

function add<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}
