import * as z from "zod"
import { formatTimestamp, parseTimestamp, randomSuffix } from "./backup-id.ts"
import type { BackupState } from "./retention.ts"

/**
 * What a check of a backup may find. `verified` and `failed`: the stored bytes, held against the manifest.
 * `deep-verified` and `deep-failed`: what they hold, decrypted and read to its end.
 */
export const checkKinds = ["verified", "failed", "deep-verified", "deep-failed"] as const
export type CheckKind = (typeof checkKinds)[number]

/** One thing wrong with a stored object, in words for people. */
export type Problem = z.infer<typeof problemSchema>

const problemSchema = z.object({
  /** The object's name below the backup's folder. */
  object: z.string(),
  expected: z.string(),
  found: z.string(),
})

const checkSchema = z
  .object({
    kind: z.enum(checkKinds),
    at: z.iso.datetime(),
    /** The program that checked: "pgstow 0.1.0". */
    by: z.string(),
    /** Empty where the check was good. */
    problems: z.array(problemSchema).readonly(),
  })
  .refine(
    ({ kind, problems }) => isFailure(kind) === problems.length > 0,
    "a failed check, and it alone, has problems",
  )

/** The record of one check: never rewritten, newer ones are laid beside it. */
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
export type Finding = { readonly kind: CheckKind; readonly at: Date }

/** @param random eight values, each from 0 (inclusive) to 1 (exclusive) */
export function checkFileName({ kind, at }: Finding, random: readonly number[]): string {
  return `${formatTimestamp(at)}-${kind}-${randomSuffix(random)}.json`
}

/** The finding that a file's name tells; undefined for a file that is no check, or of a kind unknown here. */
export function findingOf(fileName: string): Finding | undefined {
  const [, time = "", name = ""] = /^([^-]+)-([a-z-]+)-[0-9a-z]{8}\.json$/.exec(fileName) ?? []
  const at = parseTimestamp(time)
  const kind = checkKinds.find((known) => known === name)
  return at && kind && { kind, at }
}

/**
 * The finding that holds now: the latest, but a deep failure stands until a deep check is good, since checksums
 * say nothing of what it found. Of two in the same second a failure outweighs. Undefined where there is none.
 */
export function latestFinding(findings: readonly Finding[]): Finding | undefined {
  const newestFirst = findings.toSorted(
    (a, b) => b.at.getTime() - a.at.getTime() || Number(isFailure(b.kind)) - Number(isFailure(a.kind)),
  )
  const deep = newestFirst.find(({ kind }) => kind.startsWith("deep-"))
  return deep?.kind === "deep-failed" ? deep : newestFirst[0]
}

export function stateOf(finding: Finding | undefined): BackupState {
  if (!finding) return "unverified"
  return isFailure(finding.kind) ? "failed" : "verified"
}

function isFailure(kind: CheckKind): boolean {
  return kind === "failed" || kind === "deep-failed"
}
