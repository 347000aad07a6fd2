import { identifier } from "../core/quote.ts"
import { replacedName } from "../core/restored-name.ts"
import type { Session } from "../postgres/session.ts"
import { databaseExists } from "../postgres/target-database.ts"

/**
 * The statements by which the database `restored` gets the name of the original, which makes way first where it is
 * on the session's server. They are for a session with neither.
 */
export async function takePlace(
  session: Session,
  restored: string,
  original: string,
  now: Date,
): Promise<string[]> {
  const rename = (from: string, to: string) =>
    `ALTER DATABASE ${identifier(from)} RENAME TO ${identifier(to)};`
  return [
    ...((await databaseExists(session, original)) ? [rename(original, replacedName(original, now))] : []),
    rename(restored, original),
  ]
}
