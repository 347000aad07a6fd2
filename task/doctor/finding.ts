import { exitCodes, type FailureKind } from "../errors.ts"

export const severities = ["error", "warning", "notice"] as const

/**
 * How bad it is. An error stops a backup, or leaves something out of it; a warning may do so on another day, or costs
 * something later; a notice is good to know.
 */
export type Severity = (typeof severities)[number]

/** What a check looks at, and how a command fails that finds an error there. */
const areas = {
  source: "postgres",
  rights: "postgres",
  content: "postgres",
  provider: "postgres",
  target: "postgres",
  storage: "storage",
  keys: "key",
} as const satisfies Record<string, FailureKind>

export type Area = keyof typeof areas

/** Something that a person should know, and what to do about it. */
export type Finding = {
  /** Which check found it: "rights.tables". */
  readonly check: `${Area}.${string}`
  readonly severity: Severity
  /** What it is about: a database, a storage, a role. */
  readonly subject: string
  /** What is the case, lower case and without a full stop. */
  readonly what: string
  /** Why that matters, one sentence or more. */
  readonly why: string
  /** The statement, setting or command that puts it right. */
  readonly fix: string
}

/** The worst first; of the same severity as they are. */
export function worstFirst(findings: readonly Finding[]): Finding[] {
  return severities.flatMap((severity) => findings.filter((one) => one.severity === severity))
}

/** How the program fails by the worst of these; undefined where nothing is worse than a notice. */
export function failureKindOf(findings: readonly Finding[]): FailureKind | undefined {
  const [worst] = worstFirst(findings)
  if (worst === undefined || worst.severity === "notice") return undefined
  if (worst.severity === "warning") return "warnings"
  // The part before the dot is an area, by the type of `check`.
  return areas[worst.check.split(".")[0] as Area]
}

/** The exit code that goes with these findings. */
export function exitCodeOf(findings: readonly Finding[]): number {
  const kind = failureKindOf(findings)
  return kind === undefined ? 0 : exitCodes[kind]
}
