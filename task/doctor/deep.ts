import { formatCount, formatDuration } from "../console/format.ts"
import type { QueryError } from "../postgres/conversation.ts"
import type { Session } from "../postgres/session.ts"
import type { Finding } from "./finding.ts"
import { foreignKeyProbes } from "./foreign-keys.ts"
import { largeRowProbes } from "./large-rows.ts"
import { listed } from "./listed.ts"
import { attempt, briefLimits, type Limits, lookInto, type Probe } from "./looking.ts"
import { uniqueProbes } from "./unique-indexes.ts"

/** How long one statement may take, and all of them together. */
const statementLimits: Limits = { ...briefLimits, statementMs: 10_000 }
const mostSeconds = 60

/**
 * Looks into the rows: for those that a restore will refuse, and those that can't be backed up. The small tables first,
 * until the time is up. What was not looked at is a finding.
 */
export async function examineRows(session: Session, database: string): Promise<Finding[]> {
  const probes = await lookInto(session, briefLimits, async (looking) => {
    const found: Probe[] = []
    const failures: QueryError[] = []
    for (const list of [largeRowProbes, foreignKeyProbes, uniqueProbes]) {
      const result = await attempt(looking, () => list(looking))
      if ("value" in result) found.push(...result.value)
      else failures.push(result.failure)
    }
    return { found: found.toSorted((a, b) => a.pages - b.pages), failures }
  })
  const endsAt = performance.now() + mostSeconds * 1_000
  return lookInto(session, statementLimits, async (looking) => {
    // What an index says may be what is wrong.
    for (const name of ["enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"])
      await session.execute(`SET LOCAL ${name} = off`)
    const findings: Finding[] = []
    const missed: string[] = probes.failures.map(({ reason }) => reason)
    for (const { about, find } of probes.found) {
      const result =
        performance.now() < endsAt ? await attempt(looking, () => find(looking)) : { failure: undefined }
      if ("value" in result) findings.push(...result.value)
      else missed.push(about)
    }
    return [...findings, ...(missed.length === 0 ? [] : [notLookedAt(missed, database)])]
  })
}

function notLookedAt(missed: readonly string[], database: string): Finding {
  return {
    check: "content.unknown",
    severity: "notice",
    subject: database,
    what: `${formatCount(missed.length, "look")} into rows took too long, or was refused: ${listed(missed)}`,
    why: `Each may take ${formatDuration(statementLimits.statementMs / 1_000)}, and all of them ${formatDuration(mostSeconds)}, so that the server is not kept busy.`,
    fix: "a drill: what a restore refuses is what this would have found",
  }
}
