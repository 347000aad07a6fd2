import { startOf } from "../core/backup-id.ts"
import type { Manifest } from "../core/manifest.ts"
import { incompleteName, restoredName } from "../core/restored-name.ts"
import type { Clients } from "../postgres/clients.ts"
import type { Connection } from "../postgres/connection.ts"
import type { Session, SessionOptions } from "../postgres/session.ts"
import { openTarget, type Target } from "../postgres/target.ts"
import { checkDatabaseName, databaseExists, isInUse } from "../postgres/target-database.ts"

/** What the name of a restored database is made from. */
export type NamedAfter = { readonly database: string; readonly startedAt: Date }

/** Nobody keeps so many: then the first name is as good as the next. */
const mostNames = 99

export function namedAfter({ source, id }: Manifest): NamedAfter {
  return { database: source.database, startedAt: startOf(id) }
}

/**
 * Connects for a restore into the database `into`, or where that is undefined into a new one, and says what it is called:
 * by the first name after `after` that no database has, and that no other restore is filling one for. Rejects as
 * openTarget does, and with a usage error where no database can have the name.
 */
export async function openNamedTarget(
  clients: Pick<Clients, "psql">,
  server: Connection,
  { into, after }: { readonly into: string | undefined; readonly after: NamedAfter },
  options: Pick<SessionOptions, "env" | "signal">,
): Promise<{ readonly target: Target; readonly name: string }> {
  const wanted = into ?? restoredName(after.database, after.startedAt)
  checkDatabaseName(wanted)
  const target = await openTarget(clients, server, wanted, options)
  try {
    return { target, name: into ?? (await freeName(await target.outside(), after)) }
  } catch (error) {
    await target.close()
    throw error
  }
}

async function freeName(session: Session, { database, startedAt }: NamedAfter): Promise<string> {
  for (let number = 1; number <= mostNames; number++) {
    const name = restoredName(database, startedAt, number)
    if (await databaseExists(session, name)) continue
    if (!(await isInUse(session, incompleteName(name)))) return name
  }
  return restoredName(database, startedAt)
}
