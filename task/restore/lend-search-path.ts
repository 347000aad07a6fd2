import * as z from "zod"
import { identifier, literal } from "../core/quote.ts"
import type { Session } from "../postgres/session.ts"
import type { Target } from "../postgres/target.ts"

/**
 * Gives the database's functions that have no search_path of their own this one, until the function that it resolves
 * to is called: what they look up without a schema is found, whoever calls them. Those of extensions, and those that
 * the user may not change, stay as they are.
 */
export async function lendSearchPath(
  target: Pick<Target, "inside">,
  database: string,
  schemas: readonly string[],
): Promise<() => Promise<void>> {
  if (schemas.length === 0) return async () => {}
  const session = await target.inside(database)
  const functions = z.array(z.object({ oid: z.string() })).parse(await session.query(withoutPath))
  const oids = functions.map(({ oid }) => oid)
  await alter(session, oids, `SET search_path TO ${schemas.map(identifier).join(", ")}`)
  return async () => alter(await target.inside(database), oids, "RESET search_path")
}

const withoutPath = `
  SELECT p.oid::text AS oid
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE p.prokind = 'f' AND l.lanname NOT IN ('internal', 'c')
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND pg_catalog.pg_has_role(p.proowner, 'USAGE')
     AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')`

async function alter(session: Session, oids: readonly string[], change: string): Promise<void> {
  if (oids.length === 0) return
  const body = `
    DECLARE
      one pg_catalog.oid;
    BEGIN
      FOREACH one IN ARRAY '{${oids.join(",")}}'::pg_catalog.oid[] LOOP
        EXECUTE pg_catalog.concat('ALTER FUNCTION ', one::pg_catalog.regprocedure, ' ', ${literal(change)});
      END LOOP;
    END`
  await session.execute(`DO LANGUAGE plpgsql ${literal(body)}`)
}
