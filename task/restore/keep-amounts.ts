import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { PgstowError } from "../errors.ts"
import { takesSettings, withSettings } from "../postgres/connection.ts"
import { neutralLocale, readMoneySetting, trySettingMoney } from "../postgres/money.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Makes sure that amounts of type money mean in `database` what they did: they are read by the lc_monetary that they
 * were written by, and where the database has another number of digits, it gets an lc_monetary with the same, if it
 * is new. Resolves to the job with that setting, and to what the user should know.
 *
 * Rejects with a PgstowError where amounts would become others.
 */
export async function keepAmounts<Job extends RestoreJob>(
  job: Job,
  database: string,
  { isNew }: { readonly isNew: boolean },
): Promise<{ readonly job: Job; readonly warnings: readonly string[] }> {
  const { money } = job.manifest.source
  if (!money) return { job, warnings: [] }
  const { connection, target } = job
  const refused = (why: string, hint: string) =>
    new PgstowError("postgres", `the backup holds amounts of type money, and ${why}`, { hint })
  if (!takesSettings(connection))
    throw refused(
      "the pooler takes no lc_monetary with a connection",
      "Connect to the server itself, not through the pooler.",
    )
  const session = await target.inside(database)
  const own = await readMoneySetting(session)
  if (!(await trySettingMoney(session, money.writtenBy)))
    throw refused(
      `the server does not have the lc_monetary that they are written by: ${formatName(money.writtenBy)}`,
      "Restore to a server that has this locale, or install it there.",
    )
  const given = { ...job, connection: withSettings(connection, { lc_monetary: money.writtenBy }) }
  if (own.digits === money.digits) return { job: given, warnings: [] }
  const differs = `lc_monetary is ${formatName(own.lcMonetary)} there: ${countDigits(own.digits)} in place of ${money.digits}`
  if (!isNew)
    throw refused(
      differs,
      `Set it for the database first: ALTER DATABASE ${formatName(identifier(database))} SET lc_monetary TO ${formatName(literal(money.lcMonetary))}; amounts that are there already change with it.`,
    )
  for (const locale of [money.lcMonetary, neutralLocale]) {
    if ((await trySettingMoney(session, locale))?.digits !== money.digits) continue
    await session.execute(`ALTER DATABASE ${identifier(database)} SET lc_monetary TO ${literal(locale)}`)
    return {
      job: given,
      warnings: [
        `the server's lc_monetary (${own.lcMonetary}) would change amounts of type money, so the database has its own: ${locale}`,
      ],
    }
  }
  throw refused(
    `${differs}; the server does not have ${formatName(money.lcMonetary)}`,
    "Install this locale there, or restore to a server that has it.",
  )
}

function countDigits(digits: number): string {
  return `${digits} digits after the point`
}
