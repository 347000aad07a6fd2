import * as z from "zod"
import type { Session } from "./session.ts"

/**
 * What names operators in a way that SQL has no schema for: IS DISTINCT FROM, NULLIF, CASE … WHEN, IN, JOIN USING and
 * comparisons of rows. As pg_dump writes it, such a view, trigger or the like fails under an empty search_path, or comes
 * to use PostgreSQL's own operator of that name.
 */
export type OperatorPath = {
  /** The system table that the object is a row of, and the row's oid, as in an archive's table of contents. */
  readonly catalog: number
  readonly oid: number
  /** What it is, in PostgreSQL's words: "view public.v". */
  readonly object: string
  /** Where the operators are. */
  readonly schemas: string[]
}

/** An expression may be part of a table's definition, or stand alone in an archive: both are here. */
const trees = `
  SELECT 'pg_class'::regclass::oid AS catalog, ev_class AS oid, ev_action::text AS tree FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT 'pg_rewrite'::regclass, oid, concat(ev_qual, ev_action) FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT 'pg_trigger'::regclass, oid, tgqual::text FROM pg_trigger
  UNION ALL SELECT 'pg_class'::regclass, conrelid, conbin::text FROM pg_constraint WHERE conrelid <> 0
  UNION ALL SELECT 'pg_type'::regclass, contypid, conbin::text FROM pg_constraint WHERE contypid <> 0
  UNION ALL SELECT 'pg_constraint'::regclass, oid, conbin::text FROM pg_constraint
  UNION ALL SELECT 'pg_class'::regclass, adrelid, adbin::text FROM pg_attrdef
  UNION ALL SELECT 'pg_attrdef'::regclass, oid, adbin::text FROM pg_attrdef
  UNION ALL SELECT 'pg_class'::regclass, indexrelid, concat(indexprs, indpred) FROM pg_index
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, concat(indexprs, indpred)
              FROM pg_index JOIN pg_constraint c ON c.conindid = indexrelid
  UNION ALL SELECT 'pg_policy'::regclass, oid, concat(polqual, polwithcheck) FROM pg_policy
  UNION ALL SELECT 'pg_class'::regclass, partrelid, partexprs::text FROM pg_partitioned_table
  UNION ALL SELECT 'pg_proc'::regclass, oid, concat(proargdefaults, to_jsonb(p) ->> 'prosqlbody')
              FROM pg_proc p WHERE oid >= 16384
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, to_jsonb(s) ->> 'stxexprs' FROM pg_statistic_ext s
  UNION ALL SELECT 'pg_publication_rel'::regclass, oid, to_jsonb(r) ->> 'prqual' FROM pg_publication_rel r`

const pathsQuery = `
  SELECT catalog::bigint, t.oid::bigint, pg_describe_object(catalog, t.oid, 0) AS object,
         array_agg(DISTINCT n.nspname::text) AS schemas
    FROM (${trees}) AS t,
         LATERAL regexp_matches(tree, ':opno (\\d+)|:opnos \\(o ([\\d ]+)\\)', 'g') AS found,
         pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
   WHERE tree ~ '\\{(DISTINCTEXPR|NULLIFEXPR|CASEEXPR|CASE|ROWCOMPAREEXPR|ROWCOMPARE|SUBLINK) |:usingClause \\('
     AND o.oid = ANY (string_to_array(concat(found[1], found[2]), ' ')::oid[])
     AND n.nspname <> 'pg_catalog' AND t.oid >= 16384
     AND EXISTS (SELECT FROM pg_operator WHERE oprnamespace <> 'pg_catalog'::regnamespace)
   GROUP BY 1, 2, 3 ORDER BY 1, 2`

/** Finds them in the session's database, with nothing in its search_path that could stand for PostgreSQL's own. */
export async function readOperatorPaths(session: Session): Promise<OperatorPath[]> {
  const row = z.object({ catalog: z.int(), oid: z.int(), object: z.string(), schemas: z.array(z.string()) })
  return z.array(row).parse(await session.query(pathsQuery))
}
