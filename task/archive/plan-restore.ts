import { relateEntries } from "./archive.ts"
import { inCleanOrder, type Selection, selectEntries } from "./select-entries.ts"
import type { TocEntry } from "./toc.ts"

export type RestorePlan = {
  /** What to restore, in the order in which pg_restore has to. */
  readonly entries: readonly TocEntry[]
  /** What belongs to the selected tables but needs what is not selected. */
  readonly leftOut: readonly TocEntry[]
  /** The extensions that the entries make. */
  readonly extensions: readonly string[]
}

export type RestorePlanOptions = {
  /** All there is, where it is undefined. */
  readonly selection: Selection | undefined
  /** What to restore into: a database that has nothing yet, or one that has these. */
  readonly target:
    | { readonly isNew: true }
    | {
        readonly isNew: false
        readonly extensions: readonly string[]
        readonly schemas: ReadonlySet<string>
      }
  readonly clean: boolean
  readonly leaveOut?: LeaveOut | undefined
  /** Whether an entry brings rows of the extension's own tables, as far as that is known. */
  readonly isOfExtension?: IsOfExtension | undefined
  /** Whether a superuser restores: nobody else may comment on an extension that an administrator has installed. */
  readonly asSuperuser: boolean
}

export type IsOfExtension = (entry: TocEntry, extension: string) => boolean

/** What a user wants to go without. What can't be made without it goes, too. */
export type LeaveOut = {
  readonly extensions: readonly string[]
  /** Materialized views stay empty. */
  readonly refreshes: boolean
  readonly publications: boolean
  readonly subscriptions: boolean
  readonly eventTriggers: boolean
  readonly foreignServers: boolean
}

/** Decides what to restore of an archive. Throws what `selectEntries` throws. */
export function planRestore(
  archive: readonly TocEntry[],
  { selection, target, clean, asSuperuser, leaveOut, isOfExtension = () => false }: RestorePlanOptions,
): RestorePlan {
  const selected = selection
    ? selectEntries(archive, selection, {
        withDependencies: target.isNew,
        schemasThere: target.isNew ? undefined : target.schemas,
      })
    : { entries: archive, leftOut: [] }
  const installed = new Set(target.isNew ? [] : target.extensions)
  const { kept, needing } = withoutThose(selected.entries, leaveOut, isOfExtension)
  const wanted = kept.filter(({ kind, name }) => {
    if (kind === "EXTENSION") return !installed.has(name)
    if (kind !== "COMMENT" || !name.startsWith("EXTENSION ")) return true
    return asSuperuser && !installed.has(unquoted(name.slice("EXTENSION ".length)))
  })
  return {
    entries: clean ? inCleanOrder(wanted) : wanted,
    leftOut: [...selected.leftOut, ...needing],
    extensions: wanted.filter(({ kind }) => kind === "EXTENSION").map(({ name }) => name),
  }
}

/** Entries without what is not wanted, and those of the others that need it. */
function withoutThose(
  entries: readonly TocEntry[],
  leaveOut: LeaveOut | undefined,
  isOfExtension: IsOfExtension,
) {
  if (!leaveOut) return { kept: entries, needing: [] }
  const kinds = new Set([
    ...(leaveOut.refreshes ? ["MATERIALIZED VIEW DATA"] : []),
    ...(leaveOut.publications ? ["PUBLICATION"] : []),
    ...(leaveOut.subscriptions ? ["SUBSCRIPTION"] : []),
    ...(leaveOut.eventTriggers ? ["EVENT TRIGGER"] : []),
    ...(leaveOut.foreignServers ? ["FOREIGN DATA WRAPPER", "SERVER"] : []),
  ])
  const isUnwanted = ({ kind, name }: TocEntry) =>
    kinds.has(kind) || (kind === "EXTENSION" && leaveOut.extensions.includes(name))
  const { dependencies } = relateEntries(entries)
  const gone = new Set<TocEntry>()
  // What an entry depends on stands before it.
  for (const entry of entries)
    if (isUnwanted(entry) || dependencies(entry).some((one) => gone.has(one))) gone.add(entry)
  for (const entry of rowsOfExtensions(entries, gone, isOfExtension)) gone.add(entry)
  const goesUnsaid = (entry: TocEntry) =>
    isUnwanted(entry) || /^(COMMENT|ACL|SECURITY LABEL|PUBLICATION .*)$/.test(entry.kind)
  return {
    kept: entries.filter((entry) => !gone.has(entry)),
    needing: [...gone].filter((entry) => !goesUnsaid(entry)),
  }
}

/**
 * The rows and sequences of tables that go with the extensions in `gone`. The archive does not say which extension has
 * made a table: where it may be one that is kept, its rows are kept, and refused if it is not there.
 */
function rowsOfExtensions(
  entries: readonly TocEntry[],
  gone: ReadonlySet<TocEntry>,
  isOfExtension: IsOfExtension,
): TocEntry[] {
  const extensions = entries.filter(({ kind }) => kind === "EXTENSION")
  const [lost = [], kept = []] = [true, false].map((isGone) =>
    extensions.filter((entry) => gone.has(entry) === isGone),
  )
  if (lost.length === 0) return []
  const idOf = (kind: string, { schema, name }: TocEntry) => JSON.stringify([kind, schema, name])
  const made = new Set(entries.map((entry) => idOf(entry.kind, entry)))
  const isIn = (entry: TocEntry) => (extension: TocEntry) => {
    const [, name] = / WITH SCHEMA (\S.*);\s*$/.exec(extension.definition) ?? []
    return name !== undefined && unquoted(name) === entry.schema
  }
  return entries.filter((entry) => {
    const maker = makers[entry.kind]
    if (maker === undefined || made.has(idOf(maker, entry))) return false
    const isKnown = ({ name }: TocEntry) => isOfExtension(entry, name)
    if (extensions.some(isKnown)) return lost.some(isKnown) && !kept.some(isKnown)
    return kept.length === 0 || (lost.some(isIn(entry)) && !kept.some(isIn(entry)))
  })
}

const makers: Readonly<Record<string, string>> = { "TABLE DATA": "TABLE", "SEQUENCE SET": "SEQUENCE" }

/** What says something of roles, and can be left out. */
const grantKinds = new Set(["ACL", "DEFAULT ACL", "DATABASE PROPERTIES"])

/**
 * Those of the backup's `roles` that restoring the entries takes. Grants and policies are searched for words that
 * are names of roles, so one too many may be found, and never one too few.
 */
export function rolesNeeded(
  entries: readonly TocEntry[],
  roles: readonly string[],
  keep: { readonly owners: boolean; readonly grants: boolean },
): string[] {
  const named = new Set<string>()
  for (const { kind, owner, definition } of entries) {
    if (keep.owners) named.add(owner)
    if (kind === "POLICY" || (keep.grants && grantKinds.has(kind)))
      for (const [word] of definition.matchAll(/"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*/gu))
        named.add(unquoted(word))
  }
  return roles.filter((role) => named.has(role))
}

/** A name as SQL writes it, as it is. */
function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name
}
