import { formatCount, formatName } from "../console/format.ts"
import { rawBytes, storedBytes } from "../core/manifest.ts"
import { identifier } from "../core/quote.ts"
import { type FailureKind, messageOf, PgstowError } from "../errors.ts"
import { groupErrors, type RestoreErrorGroup } from "../postgres/restore-errors.ts"
import { type ByHand, byHand } from "./by-hand.ts"
import type { RestoreEnd, RestoreJob } from "./job.ts"
import type { Phases } from "./pace.ts"

/** What is reported of a restore. */
export type RestoreResult = {
  readonly id: string
  /** The name in the catalog. */
  readonly database: string
  readonly storage: string
  /** The database that holds what was restored. */
  readonly into: string
  /** What `into` is to be called when it is complete. */
  readonly name: string
  /** `incomplete`: the database is new and must not be used as it is. `unchanged`: it is as it was before. */
  readonly state: "restored" | "incomplete" | "unchanged"
  readonly tables: number
  readonly storedBytes: number
  readonly rawBytes: number
  /** What the tables that were asked for take up on the target, where not all of the backup was. */
  readonly restoredBytes?: number
  readonly seconds: number
  /** What of that rows took, indexes and keys alone, and the rest; not known of SQL. */
  readonly phases?: Phases & { readonly restSeconds: number }
  /** What PostgreSQL refused, by classes. */
  readonly errors: readonly RestoreErrorGroup[]
  /** Of a restore that came to its end incomplete: all that was refused, and how to finish it. */
  readonly byHand: readonly ByHand[]
  /** What belongs to the tables that were asked for, but not without others. */
  readonly leftOut: readonly string[]
  readonly warnings: readonly string[]
  /** The file of the user's own that has run in it; null where there was none, or it did not come to its end. */
  readonly ran: string | null
  /** The statements by which `into`, restored under a name made for it, takes the original's place. */
  readonly rename: readonly string[]
  /** Of an incomplete one: those by which it takes its place all the same, the original's or `name`. */
  readonly renameAsItIs: readonly string[]
  /** Why it did not come to its end. */
  readonly failure: {
    readonly kind: FailureKind
    readonly message: string
    readonly hint: string | null
  } | null
}

/** What a job has come to. */
export function resultOf(
  { storage, manifest, name, options }: RestoreJob,
  end: RestoreEnd & {
    readonly rename: readonly string[]
    readonly restoredBytes?: number | undefined
    readonly phases: Phases
  },
  seconds: number,
): RestoreResult {
  const { plan, into, state, outcome } = end
  const { withoutRows = [] } = manifest
  const warnings = [
    ...(withoutRows.length > 0
      ? [`the backup, of a standby, has no rows of unlogged tables: ${withoutRows.join(", ")}`]
      : []),
    ...end.warnings,
  ]
  const failure = outcome.state === "failed" ? outcome.failure : undefined
  return {
    id: manifest.id,
    database: manifest.database,
    storage: storage.url,
    into,
    name,
    state,
    tables: plan.entries.filter(({ kind }) => kind === "TABLE").length,
    storedBytes: storedBytes(manifest),
    rawBytes: rawBytes(manifest),
    ...(end.restoredBytes === undefined ? {} : { restoredBytes: end.restoredBytes }),
    seconds,
    phases: {
      ...end.phases,
      restSeconds: Math.max(0, seconds - end.phases.rowsSeconds - end.phases.indexesSeconds),
    },
    errors: groupErrors(outcome.errors),
    byHand:
      state === "incomplete" && outcome.state === "errors"
        ? byHand(outcome.errors, plan.entries, manifest, into)
        : [],
    leftOut: plan.leftOut.map(({ kind, schema, name }) => `${kind.toLowerCase()} ${schema ?? ""}.${name}`),
    warnings,
    ran: state === "restored" ? (options.run?.file ?? null) : null,
    rename: state === "restored" ? end.rename : [],
    renameAsItIs: state === "incomplete" ? renameAsItIs(end, name) : [],
    failure: failure ? { kind: failure.kind, message: messageOf(failure), hint: failure.hint ?? null } : null,
  }
}

/** The failure to report, and to exit with, where a restore is not complete. */
export function restoreFailure(result: RestoreResult): PgstowError | undefined {
  const { id, into, state, errors, renameAsItIs, failure } = result
  if (state === "restored") return undefined
  const left =
    state === "unchanged"
      ? `Nothing was changed in ${formatName(into)}.`
      : `What is there is in ${formatName(into)}: inspect it, ${waysOn(into, renameAsItIs)}.`
  if (failure)
    return new PgstowError(failure.kind, failure.message, {
      hint: [failure.hint, left].filter((part) => part !== null).join(" "),
    })
  const what = errors.map(({ title, count }) => `${title} (${count})`).join(", ")
  return new PgstowError(
    "restoreErrors",
    `${id} was restored incompletely, with ${formatCount(countOf(errors), "error")}: ${what}`,
    { hint: left },
  )
}

/** A name that was made for it is none that anybody wants. */
function renameAsItIs(
  { into, rename }: Pick<RestoreResult, "into" | "rename">,
  name: string,
): readonly string[] {
  return rename.length > 0 ? rename : [`ALTER DATABASE ${identifier(into)} RENAME TO ${identifier(name)};`]
}

/** What may be done with a database that is incomplete. */
function waysOn(into: string, statements: readonly string[]): string {
  const all = formatName(statements.join(" "))
  return `accept it as it is, in psql with another database (${all}), or drop it (DROP DATABASE ${formatName(identifier(into))};)`
}

export function countOf(errors: readonly RestoreErrorGroup[]): number {
  return errors.reduce((sum, { count }) => sum + count, 0)
}
