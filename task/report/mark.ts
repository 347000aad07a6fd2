import type { CatalogEntry } from "../catalog/catalog.ts"
import type { CheckKind } from "../core/check.ts"

/**
 * What is known of a copy, in the words of `list`. "drill-failed": what is stored is as the manifest says, and a restore of
 * it was not.
 */
export type ReportedState = CheckKind | "unverified" | "checks unreadable" | "unreadable"

/** The best first. */
const states = [
  "drilled",
  "deep-verified",
  "verified",
  "drill-failed",
  "unverified",
  "checks unreadable",
  "deep-failed",
  "failed",
  "unreadable",
] as const satisfies readonly ReportedState[]

export function stateOfCopy({ manifest, problem, finding, drill }: CatalogEntry): ReportedState {
  if (manifest === undefined) return "unreadable"
  if (problem !== undefined) return "checks unreadable"
  if (finding?.kind.endsWith("failed")) return finding.kind
  return drill?.kind ?? finding?.kind ?? "unverified"
}

export function bestOf(found: readonly ReportedState[]): ReportedState {
  return states.find((state) => found.includes(state)) ?? "unreadable"
}

/** What a night came to, the best first. */
export const marks = ["drilled", "verified", "good", "failed", "missing", "none"] as const
export type Mark = (typeof marks)[number]

export const markOfState: Readonly<Record<ReportedState, Mark>> = {
  drilled: "drilled",
  "deep-verified": "verified",
  verified: "verified",
  "drill-failed": "failed",
  unverified: "good",
  "checks unreadable": "good",
  "deep-failed": "failed",
  failed: "failed",
  unreadable: "failed",
}
