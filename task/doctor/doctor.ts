import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import { examineSource, type SourceOptions } from "./examine-source.ts"
import { type Finding, failureKindOf, type Severity, severities, worstFirst } from "./finding.ts"

export type DoctorOptions = SourceOptions

export type DoctorResult = {
  /** The worst first. */
  readonly findings: readonly Finding[]
  readonly seconds: number
}

/**
 * Looks whether a backup with these settings would succeed, and what would be missing in it. Changes nothing on the
 * server. What can't be looked at is a finding, too: rejects only when it is interrupted.
 */
export async function doctor(options: DoctorOptions, context: Context): Promise<DoctorResult> {
  const startedAt = performance.now()
  const source = await examineSource(options, context)
  return {
    findings: worstFirst(source.findings),
    seconds: (performance.now() - startedAt) / 1000,
  }
}

/** What to exit with, by the worst of what was found; undefined where there are but notices. */
export function doctorFailure({ findings }: DoctorResult): PgstowError | undefined {
  const kind = failureKindOf(findings)
  if (kind === undefined) return undefined
  return new PgstowError(kind, `the doctor found ${countsOf(findings)}`, {
    hint: "Each is said above, with what puts it right.",
  })
}

/** "2 errors, 1 warning". */
export function countsOf(findings: readonly Finding[]): string {
  const count = (severity: Severity) => findings.filter((one) => one.severity === severity).length
  return severities
    .filter((severity) => count(severity) > 0)
    .map((severity) => formatCount(count(severity), severity))
    .join(", ")
}
