import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { withDatabase } from "../postgres/connection.ts"
import { readOperatorPaths } from "../postgres/operator-paths.ts"
import { openSession } from "../postgres/session.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Looks whether what was restored uses the operators that it did, as far as SQL could not name these. Resolves to a
 * warning for each view, trigger or the like that does not.
 */
export async function findLostOperators(
  { manifest, clients, connection }: RestoreJob,
  plan: RestorePlan,
  database: string,
  { env, signal }: Pick<Context, "env" | "signal">,
): Promise<string[]> {
  const planned = new Set(plan.entries.map(({ tableOid, oid }) => `${tableOid} ${oid}`))
  const wanted = (manifest.operatorPaths ?? []).filter(({ catalog, oid }) => planned.has(`${catalog} ${oid}`))
  if (wanted.length === 0) return []
  const session = await openSession(clients, withDatabase(connection, database), { env, signal })
  try {
    await session.execute("SET search_path TO ''")
    const found = new Map((await readOperatorPaths(session)).map(({ object, schemas }) => [object, schemas]))
    return wanted
      .map(({ object, schemas }) => ({
        object,
        lost: schemas.filter((schema) => !found.get(object)?.includes(schema)),
      }))
      .filter(({ lost }) => lost.length > 0)
      .map(({ object, lost }) =>
        formatName(
          `${object} does not use the operators of ${lost.join(", ")} as it did in the source: it may be missing, or mean something else`,
        ),
      )
  } finally {
    await session.close()
  }
}
