import { identifier } from "../core/quote.ts"
import { replacedName } from "../core/restored-name.ts"
import type { Session } from "../postgres/session.ts"
import { databaseExists } from "../postgres/target-database.ts"

/**
 * Resolves to what gives the statements by which a restored database gets the name of the original, which makes way
 * first where it is on the session's server now. They are for a session with neither.
 */
export async function takePlace(
  session: Session,
  original: string,
  now: Date,
): Promise<(restored: string) => string[]> {
  const rename = (from: string, to: string) =>
    `ALTER DATABASE ${identifier(from)} RENAME TO ${identifier(to)};`
  const makeWay = (await databaseExists(session, original))
    ? [rename(original, replacedName(original, now))]
    : []
  return (restored) => [...makeWay, rename(restored, original)]
}
