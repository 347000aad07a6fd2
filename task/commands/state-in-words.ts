import type { CheckKind } from "../core/check.ts"

type Finding = { readonly kind: CheckKind } | null

/** What is known of one copy of a backup. */
export type StateOfCopy = {
  /** The check that tells whether it is good. */
  readonly lastCheck: Finding
  /** The last good check that was no drill. */
  readonly lastVerification: Finding
  readonly lastDrill: Finding
  /** Why not all of it can be read. */
  readonly problem: string | null
  /** Whether its manifest can be read. */
  readonly isReadable: boolean
  readonly pinned: boolean | null
  readonly partial: string | null
  readonly encrypted: boolean | null
}

/** "verified, drilled, pinned": what checks of it found, and what else is to be known of it. */
export function stateInWords(copy: StateOfCopy): string {
  const { lastCheck, lastVerification, lastDrill, problem, isReadable, pinned, partial, encrypted } = copy
  const unreadable = isReadable ? "checks unreadable" : "unreadable"
  const checks = new Set(
    [
      lastCheck?.kind.endsWith("failed") ? lastCheck.kind : undefined,
      lastVerification?.kind,
      lastDrill?.kind,
    ].filter((kind) => kind !== undefined),
  )
  return [
    ...(problem !== null ? [unreadable] : checks.size > 0 ? checks : ["unverified"]),
    ...(pinned ? ["pinned"] : []),
    ...(partial === null ? [] : ["partial"]),
    ...(encrypted === false ? ["unencrypted"] : []),
  ].join(", ")
}

const colours = [
  { codes: "32", words: ["verified", "deep-verified", "drilled"] },
  {
    codes: "31",
    words: ["failed", "deep-failed", "drill-failed", "unreadable", "checks unreadable", "unencrypted"],
  },
  { codes: "33", words: ["unverified", "partial"] },
  { codes: "36", words: ["pinned"] },
] as const

const codesOf = new Map<string, string>(
  colours.flatMap(({ codes, words }) => words.map((word): [string, string] => [word, codes])),
)

/** Words of a state: in a column of a table, in the rest of one on a line of its own, or before the time of a check. */
const stateWords = new RegExp(
  `(?<=(?:^|,) *| {2})(?:${[...codesOf.keys()].sort((a, b) => b.length - a.length).join("|")})(?=,| {2}| \\d|$)`,
  "gm",
)

/** Gives the words of states their colours, in text that has none yet. */
export function paintStates(text: string): string {
  return text.replaceAll(stateWords, (word) => `\x1b[${codesOf.get(word)}m${word}\x1b[0m`)
}
