import { incompleteName, restoredName } from "../core/restored-name.ts"
import type { Session } from "../postgres/session.ts"
import { databaseExists, isInUse } from "../postgres/target-database.ts"

/** What the name of a restored database is made from. */
export type Original = { readonly database: string; readonly startedAt: Date }

/** Nobody keeps so many: then the first name is as good as the next. */
const mostNames = 99

/**
 * The name for a new database that a restored one gets where nobody gave one: the first that no database has, and that no
 * other restore is filling one for.
 */
export async function chooseName(session: Session, { database, startedAt }: Original): Promise<string> {
  const first = restoredName(database, startedAt)
  for (let number = 1; number <= mostNames; number++) {
    const name = restoredName(database, startedAt, number)
    if (await databaseExists(session, name)) continue
    if (!(await isInUse(session, incompleteName(name)))) return name
  }
  return first
}
