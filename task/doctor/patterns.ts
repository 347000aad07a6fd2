import { leavesOut, type TablePatterns } from "../core/table-patterns.ts"
import { PgstowError } from "../errors.ts"
import { allTables, type ChosenTables, chooseTables } from "../postgres/chosen-tables.ts"
import { QueryError } from "../postgres/conversation.ts"
import type { Finding } from "./finding.ts"
import type { Looking } from "./looking.ts"

/** What a backup by these settings has in it, and what a person should know of the patterns that say so. */
export async function choosePatterns(
  { session }: Pick<Looking, "session">,
  patterns: TablePatterns,
  subject: string,
): Promise<{ readonly chosen: ChosenTables; readonly findings: readonly Finding[] }> {
  if (!leavesOut(patterns)) return { chosen: allTables, findings: [] }
  await session.execute("SAVEPOINT choice")
  try {
    const chosen = await chooseTables(session, patterns)
    await session.execute("RELEASE SAVEPOINT choice")
    return { chosen, findings: chosen.notes.map((note) => noteFinding(note, subject)) }
  } catch (error) {
    // Neither the server nor its time limit is a pattern's fault.
    if (!(error instanceof PgstowError) || (error.kind !== "usage" && !(error instanceof QueryError)))
      throw error
    await session.execute("ROLLBACK TO SAVEPOINT choice")
    return { chosen: nothing, findings: [refusedFinding(error, subject)] }
  }
}

/** Where it is not known what is to be backed up, no right is missed. */
const nothing: ChosenTables = { isIn: "false", hasRows: "false", notes: [] }

function noteFinding(note: string, subject: string): Finding {
  return {
    check: "source.patterns",
    severity: "warning",
    subject,
    what: note,
    why: "By pg_dump's rules the backup has more in it than was meant, or less.",
    fix: "another pattern in --table, --exclude-table, --exclude-schema or --exclude-table-data, or none",
  }
}

function refusedFinding(error: PgstowError, subject: string): Finding {
  return {
    check: "source.patterns",
    severity: "error",
    subject,
    what:
      error instanceof QueryError ? `what the patterns choose is not known: ${error.reason}` : error.message,
    why: "A backup by these patterns refuses to begin. Which rights it needs was not looked at.",
    fix: error.hint ?? "pgstow doctor, at a quieter time",
  }
}
