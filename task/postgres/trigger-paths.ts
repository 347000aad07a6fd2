import * as z from "zod"
import { firstOf, readNames, routineRow, routinesWhere, searchPathIn } from "./function-paths.ts"
import { namesLookedUp } from "./names-looked-up.ts"
import type { Session } from "./session.ts"

/** A function of triggers that has no search_path of its own and looks names up without a schema. */
export type TriggerPath = {
  /** As SQL names it: "app.audit()". */
  readonly function: string
  /** What it looks up, and the schemas to find that in. */
  readonly names: readonly string[]
  readonly schemas: readonly string[]
}

const isUsed = `p.prorettype = 'pg_catalog.trigger'::regtype
  AND EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')`

/**
 * Finds them in the session's database, whose search_path is empty; those of extensions are left out. A restore makes
 * triggers when the rows are in, and calls none of them.
 *
 * @param settings the database's, each "name=value"
 */
export async function readTriggerPaths(
  session: Session,
  settings: readonly string[],
): Promise<TriggerPath[]> {
  const routines = z.array(routineRow).parse(await session.query(routinesWhere(isUsed)))
  const own = routines.filter(({ extension }) => extension === null)
  if (own.length === 0) return []
  const there = await readNames(session)
  const path = [...searchPathIn(settings), "public"]
  return own.flatMap((routine) => {
    const { found } = namesLookedUp(routine, there)
    if (found.length === 0) return []
    const byName = [...Map.groupBy(found, ({ name }) => name)]
    return [
      {
        function: routine.title,
        names: byName.map(([name]) => name),
        schemas: [...new Set(byName.map(([, all]) => firstOf(all, [...path, routine.schema])))],
      },
    ]
  })
}
