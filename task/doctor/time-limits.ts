import * as z from "zod"
import { identifier } from "../core/quote.ts"
import type { Session } from "../postgres/session.ts"
import type { Finding } from "./finding.ts"

/** A limit that would end a session or a statement, as a session has it that sets nothing itself. */
export type TimeLimit = {
  readonly name: string
  /** With its unit: "30000 ms". */
  readonly value: string
  /** Where it was set, as pg_settings has it: "database user"; empty where that is not known. */
  readonly from: string
}

const limitRow = z.object({ name: z.string(), value: z.string(), from: z.string() })

/** @param plain a session that was opened without settings */
export async function readTimeLimits(plain: Session): Promise<TimeLimit[]> {
  return z.array(limitRow).parse(
    await plain.query(`
      SELECT name, pg_catalog.concat(setting, ' ', unit) AS value, source AS from FROM pg_catalog.pg_settings
       WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',
                      'idle_session_timeout', 'transaction_timeout') AND setting <> '0' ORDER BY name`),
  )
}

/** Those that a backup's statements switch off in each of their transactions, whatever is in between. */
const switchedOffByDump = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]

/**
 * @param overrides whether the sessions of a backup can be given settings of their own: some poolers take none
 */
export function timeLimitFindings(
  limits: readonly TimeLimit[],
  {
    database,
    role,
    overrides,
  }: { readonly database: string; readonly role: string; readonly overrides: boolean },
): Finding[] {
  return limits.map(({ name, value, from }): Finding => {
    const isOff = overrides || switchedOffByDump.includes(name)
    return {
      check: "source.time-limits",
      severity: isOff ? "notice" : "warning",
      subject: from === "user" ? role : database,
      what: `${name} is ${value}${from === "" ? "" : `, set for: ${from}`}`,
      why: isOff
        ? "pgstow switches it off in its own sessions; other programs, a pg_dump by hand among them, are ended by it."
        : "The pooler in between takes no settings, so pgstow can't switch it off, and the backup may be ended by it.",
      fix: resetOf(name, from, { database, role }),
    }
  })
}

function resetOf(
  name: string,
  from: string,
  { database, role }: { readonly database: string; readonly role: string },
): string {
  if (from === "database") return `ALTER DATABASE ${identifier(database)} RESET ${name};`
  if (from === "user") return `ALTER ROLE ${role} RESET ${name};`
  if (from === "database user") return `ALTER ROLE ${role} IN DATABASE ${identifier(database)} RESET ${name};`
  return `ALTER ROLE ${role} SET ${name} = 0;`
}
