import type { LoadWork } from "../archive/load-steps.ts"
import type { TocEntry } from "../archive/toc.ts"
import type { RestoreOutcome } from "../postgres/pg-restore.ts"
import type { RestoreError, RestoreErrorClass } from "../postgres/restore-errors.ts"

/** What one program does, and what it is called in messages where it is no part of the loading. */
export type Work =
  | LoadWork
  | { readonly kind: "definitions"; readonly stage: string; readonly entries: readonly TocEntry[] }

/** What has been tried, what came of it, and what of it may go well later. */
export type Attempt = { readonly outcome: RestoreOutcome; readonly left: Work | undefined }

export const nothingYet: RestoreOutcome = { state: "ok", errors: [], warnings: [], readToEnd: true }

/** Refusals that another order might have prevented. */
const passing: ReadonlySet<RestoreErrorClass> = new Set([
  "missing-object",
  "search-path",
  "constraint-violated",
  "bad-data",
  "permission-denied",
  "time-limit",
  "not-populated",
  "other",
])

/** Whether the rows, the key or the definition may be accepted once more of the database is there. */
function mayPass(error: RestoreError): boolean {
  // The object itself is there.
  return passing.has(error.class) && !/^ALTER .* OWNER TO /s.test(error.statement ?? "")
}

export function attempted(work: Work, outcome: RestoreOutcome): Attempt {
  if (outcome.state !== "errors") return { outcome, left: undefined }
  const passing = outcome.errors.filter(mayPass)
  if (work.kind === "segment") return { outcome, left: passing.length > 0 ? work : undefined }
  const ids = new Set(passing.map(({ dumpId }) => dumpId))
  const entries = work.entries.filter(({ dumpId, kind }) => ids.has(dumpId) && !kind.startsWith("BLOB"))
  return { outcome, left: entries.length > 0 ? { ...work, entries } : undefined }
}

/** What is not to be tried before something else is there. */
export function putOff(work: Work): Attempt {
  return { outcome: nothingYet, left: work }
}

/**
 * Tries what was refused again, one after the other, and again as long as less and less of it is refused. Gives the
 * attempts in their order.
 */
export async function inRounds(
  attempts: readonly Attempt[],
  run: (work: Work) => Promise<Attempt>,
): Promise<readonly Attempt[]> {
  let current = attempts
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    const left = current.reduce((sum, attempt) => sum + countLeft(attempt), 0)
    if (left === 0 || left >= before) return current
    before = left
    const next: Attempt[] = []
    for (const attempt of current)
      next.push(attempt.left ? replaced(attempt, attempt.left, await run(attempt.left)) : attempt)
    current = next
  }
}

function countLeft({ left }: Attempt): number {
  if (left === undefined) return 0
  return left.kind === "segment" ? 1 : left.entries.length
}

/** Of what was tried again the later errors count. */
function replaced({ outcome }: Attempt, work: Work, { outcome: later, left }: Attempt): Attempt {
  const ids = new Set(work.kind === "segment" ? [] : work.entries.map(({ dumpId }) => dumpId))
  const isOver = (error: RestoreError) =>
    work.kind === "segment" || (error.dumpId !== undefined && ids.has(error.dumpId))
  const before: RestoreOutcome =
    outcome.state === "errors"
      ? withErrors(
          outcome,
          outcome.errors.filter((error) => !isOver(error)),
        )
      : outcome
  return { outcome: joined(before, later), left }
}

function withErrors({ warnings }: RestoreOutcome, errors: readonly RestoreError[]): RestoreOutcome {
  // Whether all was read is not known of what met errors.
  return errors.length > 0
    ? { state: "errors", errors, warnings }
    : { state: "ok", errors, warnings, readToEnd: false }
}

/** What two parts come to together. The failure is that of the first that failed. */
export function joined(before: RestoreOutcome, after: RestoreOutcome): RestoreOutcome {
  const errors = [...before.errors, ...after.errors]
  const warnings = [...new Set([...before.warnings, ...after.warnings])]
  const failed = [before, after].find(({ state }) => state === "failed")
  if (failed) return { ...failed, errors, warnings }
  if (before.state !== "ok" || after.state !== "ok") return { state: "errors", errors, warnings }
  return { state: "ok", errors, warnings, readToEnd: before.readToEnd && after.readToEnd }
}
