import * as z from "zod"
import { formatTimestamp, parseTimestamp, randomSuffix } from "./backup-id.ts"
import type { BackupState, Proof } from "./retention.ts"

/**
 * What a check of a backup may find. `verified` and `failed`: the stored bytes, compared with the manifest.
 * `deep-verified` and `deep-failed`: what they hold, decrypted and read to its end. `drilled` and `drill-failed`: all of
 * it, restored into a server, and compared there.
 */
export const checkKinds = [
  "verified",
  "failed",
  "deep-verified",
  "deep-failed",
  "drilled",
  "drill-failed",
] as const
export type CheckKind = (typeof checkKinds)[number]

/** One thing wrong with a stored object, or with what was restored of it, in words for people. */
export type Problem = {
  /** The object's name below the backup's folder; of a drill, what is wrong in the restored database. */
  readonly object: string
  readonly expected: string
  readonly found: string
}

const problemSchema = z.object({ object: z.string(), expected: z.string(), found: z.string() })

/** "main.dump.zst.age: expected 7 bytes, found 5 bytes". */
export function formatProblem({ object, expected, found }: Problem): string {
  return `${object}: expected ${expected}, found ${found}`
}

const seconds = z.number().nonnegative()

const drillSchema = z.object({
  /** The version of the server that was restored into, as `server_version` says it. */
  server: z.string(),
  /** How long the restore took; of that, while rows came, while nothing but indexes and keys was made, and the rest. */
  restoreSeconds: seconds,
  rowsSeconds: seconds.optional(),
  indexesSeconds: seconds.optional(),
  restSeconds: seconds.optional(),
  compareSeconds: seconds,
  /** The rows that were counted in tables. */
  rows: z.int().nonnegative(),
  /** How many objects there are of each kind, in pg_dump's words. */
  objects: z.record(z.string(), z.int().nonnegative()),
  /** What could not be compared, and what is as odd as it was in the original: sentences. */
  notes: z.array(z.string()).readonly(),
})

/** What a drill measured and counted. */
export type DrillRecord = z.infer<typeof drillSchema>

const checkSchema = z
  .object({
    kind: z.enum(checkKinds),
    at: z.iso.datetime(),
    /** The program that checked: "pgstow 0.1.0". */
    by: z.string(),
    /** Empty where the check was good. */
    problems: z.array(problemSchema).readonly(),
    /** Only of a drill that came to compare. */
    drill: drillSchema.optional(),
  })
  .refine(
    ({ kind, problems }) => isFailure(kind) === problems.length > 0,
    "a failed check, and it alone, has problems",
  )

/** The record of one check: never rewritten, newer ones are put beside it. */
export type Check = z.infer<typeof checkSchema>

export function formatCheck(check: Check): string {
  return `${JSON.stringify(checkSchema.parse(check), null, 2)}\n`
}

/** The check of this text; undefined where it is damaged. */
export function parseCheck(text: string): Check | undefined {
  try {
    return checkSchema.safeParse(JSON.parse(text)).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** What the name of a check's file says of it. */
export type Finding = {
  /** What names of later records call it by: eight characters of 0-9a-z. */
  readonly id: string
  readonly kind: CheckKind
  /** By the clock of who checked: for people, and no order to build on. */
  readonly at: Date
  /**
   * The ids of the failures that held when the check began, as far as it looks for what they found. Undefined in a
   * record whose name does not say: those are ordered by their times.
   */
  readonly after: readonly string[] | undefined
}

const fileName = new RegExp(
  `^(\\w+)-(${checkKinds.join("|")})-([0-9a-z]{8})(?:-after-(none|[0-9a-z]{8}(?:-[0-9a-z]{8})*))?\\.json$`,
)

export function checkFileName({ id, kind, at, after }: Finding): string {
  const seen = after === undefined ? "" : `-after-${after.length === 0 ? "none" : after.join("-")}`
  return `${formatTimestamp(at)}-${kind}-${id}${seen}.json`
}

/** The finding that a file's name tells; undefined for a file that is no check, or of a kind unknown here. */
export function findingOf(name: string): Finding | undefined {
  const [, time = "", kindName, id = "", seen] = fileName.exec(name) ?? []
  const at = parseTimestamp(time)
  const kind = checkKinds.find((known) => known === kindName)
  const after = seen === "none" ? [] : seen?.split("-")
  return at && kind && { id, kind, at, after }
}

/** So that a name stays within the 240 bytes that a storage takes. */
const afterAtMost = 16

/**
 * The finding of a check that ends now. Of the failures that held when it began, it settles those that it can: a
 * good check clears them, a failed one takes their place. More than a name has room for hold on until the next.
 *
 * @param seen what was found before the check began
 * @param random eight values, each from 0 (inclusive) to 1 (exclusive)
 */
export function newFinding(
  { kind, at }: Pick<Finding, "kind" | "at">,
  seen: readonly Finding[],
  random: readonly number[],
): Finding {
  const settled = holdingFailures(seen).filter((failure) => looksFor(kind, failure.kind))
  return { id: randomSuffix(random), kind, at, after: settled.slice(0, afterAtMost).map(({ id }) => id) }
}

/**
 * The finding about what is stored that holds now; undefined where there is none. A drill that failed is none: it may
 * have failed by what its server lacks. A failure holds until it is settled: by a check that
 * began when it was known, whatever the clocks of those who checked say. Of several findings that hold, the latest.
 */
export function holdingFinding(findings: readonly Finding[]): Finding | undefined {
  const stored = findings.filter(({ kind }) => kind !== "drill-failed")
  const good = stored.filter(({ kind }) => !isFailure(kind))
  return latest(holdingFailures(stored)) ?? latest(good) ?? latest(stored)
}

/** The last good check of what is stored that was no drill; undefined where there is none, or a failure holds. */
export function holdingVerification(findings: readonly Finding[]): Finding | undefined {
  if (stateOf(holdingFinding(findings)) !== "verified") return undefined
  return latest(findings.filter(({ kind }) => !isDrill(kind) && !isFailure(kind)))
}

/** What `holdingFinding` gives, of drills alone. */
export function holdingDrill(findings: readonly Finding[]): Finding | undefined {
  const drills = findings.filter(({ kind }) => isDrill(kind))
  const good = drills.filter(({ kind }) => kind === "drilled")
  return latest(holdingFailures(drills)) ?? latest(good) ?? latest(drills)
}

function holdingFailures(findings: readonly Finding[]): Finding[] {
  return findings.filter(
    (failure) => isFailure(failure.kind) && !findings.some((check) => settles(check, failure)),
  )
}

function settles(check: Finding, failure: Finding): boolean {
  if (check === failure || !looksFor(check.kind, failure.kind)) return false
  if (check.after) return check.after.includes(failure.id)
  return failure.after === undefined && check.at > failure.at
}

/**
 * Whether a check of kind `kind` would find again what `failure` found: checksums tell nothing of the content. A good
 * drill has read all that there is; one that failed may not have come so far.
 */
function looksFor(kind: CheckKind, failure: CheckKind): boolean {
  if (kind === "drilled" || failure === "drill-failed") return isDrill(kind)
  return kind !== "drill-failed" && (failure === "failed" || kind.startsWith("deep-"))
}

function isDrill(kind: CheckKind): boolean {
  return kind === "drilled" || kind === "drill-failed"
}

function latest(findings: readonly Finding[]): Finding | undefined {
  return findings.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0]
}

/** How well the good checks of a verified backup prove it. */
export function proofOf(findings: readonly Finding[]): Proof {
  if (holdingDrill(findings)?.kind === "drilled") return "drilled"
  return findings.some(({ kind }) => kind === "deep-verified") ? "deep-verified" : "verified"
}

export function stateOf(finding: Finding | undefined): BackupState {
  if (!finding) return "unverified"
  return isFailure(finding.kind) ? "failed" : "verified"
}

function isFailure(kind: CheckKind): boolean {
  return kind.endsWith("failed")
}
