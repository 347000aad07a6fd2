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
  /** What to restore into: a database that has nothing yet, or one that has these extensions. */
  readonly target:
    | { readonly isNew: true }
    | { readonly isNew: false; readonly extensions: readonly string[] }
  readonly clean: boolean
  /** Whether a superuser restores: nobody else may comment on an extension that an administrator has installed. */
  readonly asSuperuser: boolean
}

/** Decides what to restore of an archive. Throws what `selectEntries` throws. */
export function planRestore(
  archive: readonly TocEntry[],
  { selection, target, clean, asSuperuser }: RestorePlanOptions,
): RestorePlan {
  const selected = selection
    ? selectEntries(archive, selection, { withDependencies: target.isNew })
    : { entries: archive, leftOut: [] }
  const installed = new Set(target.isNew ? [] : target.extensions)
  const wanted = selected.entries.filter(({ kind, name }) => {
    if (kind === "EXTENSION") return !installed.has(name)
    if (kind !== "COMMENT" || !name.startsWith("EXTENSION ")) return true
    return asSuperuser && !installed.has(unquoted(name.slice("EXTENSION ".length)))
  })
  return {
    entries: clean ? inCleanOrder(wanted) : wanted,
    leftOut: selected.leftOut,
    extensions: wanted.filter(({ kind }) => kind === "EXTENSION").map(({ name }) => name),
  }
}

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
