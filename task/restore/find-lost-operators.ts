import type { RestorePlan } from "../archive/plan-restore.ts"
import { formatName } from "../console/format.ts"
import { inTransaction } from "../postgres/in-transaction.ts"
import { readOperatorPaths } from "../postgres/operator-paths.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Looks whether what was restored uses the operators that it did, as far as SQL could not name these. Resolves to a
 * warning for each view, trigger or the like that does not.
 */
export async function findLostOperators(
  { manifest, target }: RestoreJob,
  plan: RestorePlan,
  database: string,
): Promise<string[]> {
  const planned = new Set(plan.entries.map(({ tableOid, oid }) => `${tableOid} ${oid}`))
  const wanted = (manifest.operatorPaths ?? []).filter(({ catalog, oid }) => planned.has(`${catalog} ${oid}`))
  if (wanted.length === 0) return []
  const session = await target.inside(database)
  const paths = await inTransaction(session, async () => {
    await session.execute("SET LOCAL search_path TO ''")
    return readOperatorPaths(session)
  })
  const found = new Map(paths.map(({ object, schemas }) => [object, schemas]))
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
}
