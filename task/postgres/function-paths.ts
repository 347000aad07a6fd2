import * as z from "zod"
import { literal } from "../core/quote.ts"
import { type Named, type NamesThere, namesLookedUp } from "./names-looked-up.ts"
import type { Session } from "./session.ts"
import { splitSetting } from "./setting-assignment.ts"

/**
 * A function that has no search_path of its own and looks names up without a schema, and is called while a restore
 * fills and makes what uses it: there it finds nothing, or something else.
 */
export type FunctionPath = {
  /** As SQL names it: "app.rate(integer)". */
  readonly function: string
  /** The extension that it belongs to. */
  readonly extension?: string | undefined
  /** What it looks up, and the schemas to find that in. */
  readonly names: string[]
  readonly schemas: string[]
  /** What calls it, in PostgreSQL's words, and the oid of the table or materialized view that this belongs to. */
  readonly usedBy: { readonly relation: number; readonly object: string }[]
}

/** Where names of a database's own functions are looked up, by its settings, each "name=value": schemas in order. */
export function searchPathIn(settings: readonly string[]): string[] {
  const setting = settings.findLast((one) => one.startsWith("search_path="))
  const schemas =
    setting === undefined ? undefined : splitSetting("search_path", setting.replace(/^.*?=/s, ""))
  return (schemas ?? []).filter((schema) => schema !== "" && schema !== "$user" && !schema.startsWith("pg_"))
}

/**
 * Finds them in the session's database, whose search_path is empty. What only defaults, triggers, policies and views
 * call is left out: a restore does not call it.
 */
export async function readFunctionPaths(
  session: Session,
  settings: readonly string[],
): Promise<FunctionPath[]> {
  const routines = z.array(routineRow).parse(await session.query(routinesQuery))
  if (routines.length === 0) return []
  const there = await readNames(session)
  const texts = routines.map((routine) => ({ routine, ...namesLookedUp(routine, there) }))
  const looking = texts.filter(({ found }) => found.length > 0)
  if (looking.length === 0) return []

  const byName = Map.groupBy(texts, ({ routine }) => routine.name.toLowerCase())
  const calledBy = new Map<number, Set<number>>()
  for (const { routine, calls } of texts)
    for (const { schema, name } of calls)
      for (const { routine: called } of byName.get(name) ?? [])
        if (schema === undefined || schema === called.schema.toLowerCase())
          calledBy.set(called.oid, (calledBy.get(called.oid) ?? new Set()).add(routine.oid))
  const callersOf = (oid: number) => {
    const callers = new Set([oid])
    // The loop also comes to what is added meanwhile.
    for (const one of callers) for (const other of calledBy.get(one) ?? []) callers.add(other)
    return callers
  }
  const callers = new Map(looking.map(({ routine }) => [routine.oid, callersOf(routine.oid)]))
  const uses = await readUses(session, [...new Set([...callers.values()].flatMap((oids) => [...oids]))])
  const path = [...searchPathIn(settings), "public"]
  return looking.flatMap(({ routine, found }) => {
    const by = uses.filter((use) => callers.get(routine.oid)?.has(use.routine))
    if (by.length === 0) return []
    const chosen = [...Map.groupBy(found, ({ name }) => name)].map(([name, all]) => ({
      name,
      schema: firstOf(all, [...path, routine.schema]),
    }))
    const usedBy = new Map(by.map(({ relation, object }) => [`${relation} ${object}`, { relation, object }]))
    return [
      {
        function: routine.title,
        ...(routine.extension !== null && { extension: routine.extension }),
        names: chosen.map(({ name }) => name),
        schemas: [...new Set(chosen.map(({ schema }) => schema))],
        usedBy: [...usedBy.values()],
      },
    ]
  })
}

/** Of several schemas that have a name, the first of the path, or one that is not there. */
export function firstOf(all: readonly Named[], path: readonly string[]): string {
  const schemas = all.map(({ schema }) => schema)
  return path.find((schema) => schemas.includes(schema)) ?? schemas.toSorted()[0] ?? ""
}

const oids = z.array(z.int())
export const routineRow = z.object({
  oid: z.int(),
  schema: z.string(),
  name: z.string(),
  title: z.string(),
  extension: z.string().nullable(),
  language: z.string(),
  body: z.string(),
  takes: oids,
})

/** Of BEGIN ATOMIC, the names are looked up when it is made: it has no text. */
export const routinesWhere = (condition: string) => `
  SELECT p.oid::bigint, n.nspname AS schema, p.proname AS name, l.lanname AS language, p.prosrc AS body,
         pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) AS title,
         (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
           WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') AS extension,
         ARRAY(SELECT pg_catalog.unnest(p.proargtypes)::bigint) AS takes
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
   WHERE p.oid >= 16384 AND p.prokind IN ('f', 'w') AND l.lanname NOT IN ('internal', 'c')
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND pg_catalog.to_jsonb(p) ->> 'prosqlbody' IS NULL
     AND ${condition}
     AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
   ORDER BY n.nspname, p.proname, p.oid`

const routinesQuery = routinesWhere(
  "p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)",
)

const namedRow = z.object({
  kind: z.enum(["relation", "type", "routine", "operator", "configuration"]),
  name: z.string(),
  schema: z.string(),
  takes: oids,
  isShared: z.boolean(),
})

export async function readNames(session: Session): Promise<NamesThere> {
  const rows = z.array(namedRow).parse(await session.query(namesQuery))
  return Map.groupBy(rows, ({ kind, name }) => `${kind} ${name}`)
}

const ownTypes = (types: string) =>
  `ARRAY(SELECT type::bigint FROM pg_catalog.unnest(${types}) AS type WHERE type >= 16384)`
const named = (kind: Named["kind"], table: string, prefix: string, takes = "'{}'", where = "true") => `
  SELECT '${kind}' AS kind, x.${prefix}name AS name, n.nspname AS schema, ${takes}::bigint[] AS takes,
         EXISTS (SELECT FROM pg_catalog.${table} s
                  WHERE s.${prefix}namespace = 'pg_catalog'::regnamespace AND s.${prefix}name = x.${prefix}name) AS "isShared"
    FROM pg_catalog.${table} x JOIN pg_catalog.pg_namespace n ON n.oid = x.${prefix}namespace
   WHERE x.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ${where}`

const namesQuery = [
  named("relation", "pg_class", "rel", undefined, "x.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"),
  named("type", "pg_type", "typ", undefined, "x.typrelid = 0 AND x.typelem = 0"),
  named("routine", "pg_proc", "pro", ownTypes("x.proargtypes")),
  named("operator", "pg_operator", "opr", ownTypes("ARRAY[x.oprleft, x.oprright]")),
  named("configuration", "pg_ts_config", "cfg"),
  named("configuration", "pg_ts_dict", "dict"),
].join(" UNION ALL ")

type RoutineUse = { readonly routine: number; readonly relation: number; readonly object: string }

/** What of tables and materialized views leads to these functions. */
async function readUses(session: Session, functions: readonly number[]): Promise<RoutineUse[]> {
  const row = z.object({ routine: z.int(), relation: z.int(), object: z.string() })
  return z.array(row).parse(await session.query(usesQuery(functions)))
}

const regclass = (name: string) => `'pg_catalog.${name}'::regclass`

/** Goes from functions up to what depends on them. Partitions have theirs from their tables, and are not named again. */
const usesQuery = (functions: readonly number[]) => `
  WITH RECURSIVE up (routine, class, oid) AS (
    SELECT f, ${regclass("pg_proc")}::oid, f
      FROM pg_catalog.unnest(${literal(`{${functions.join(",")}}`)}::pg_catalog.oid[]) AS f
    UNION
    SELECT up.routine, next.class, next.oid
      FROM up, LATERAL (
        SELECT d.classid AS class, d.objid AS oid FROM pg_catalog.pg_depend d
         WHERE d.refclassid = up.class AND d.refobjid = up.oid
           AND CASE up.class
                 WHEN ${regclass("pg_proc")} THEN d.classid <> ${regclass("pg_type")}
                 WHEN ${regclass("pg_operator")} THEN d.classid <> ${regclass("pg_type")}
                 WHEN ${regclass("pg_opclass")} THEN d.classid = ${regclass("pg_class")}
                 WHEN ${regclass("pg_type")} THEN true
                 WHEN ${regclass("pg_class")} THEN d.classid = ${regclass("pg_rewrite")}
                   AND EXISTS (SELECT FROM pg_catalog.pg_class v WHERE v.oid = up.oid AND v.relkind = 'v')
               END
           AND (d.classid <> ${regclass("pg_proc")} OR NOT EXISTS (
             SELECT FROM pg_catalog.pg_proc p, pg_catalog.unnest(p.proconfig) AS setting
              WHERE p.oid = d.objid AND setting LIKE 'search_path=%'))
        UNION ALL SELECT ${regclass("pg_opclass")}, o.oid
          FROM pg_catalog.pg_amproc a JOIN pg_catalog.pg_opclass o ON o.opcfamily = a.amprocfamily
         WHERE up.class = ${regclass("pg_amproc")} AND a.oid = up.oid
        UNION ALL SELECT ${regclass("pg_opclass")}, o.oid
          FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_opclass o ON o.opcfamily = a.amopfamily
         WHERE up.class = ${regclass("pg_amop")} AND a.oid = up.oid
        UNION ALL SELECT ${regclass("pg_type")}, c.contypid FROM pg_catalog.pg_constraint c
         WHERE up.class = ${regclass("pg_constraint")} AND c.oid = up.oid AND c.contypid <> 0
        UNION ALL SELECT ${regclass("pg_type")}, c.reltype FROM pg_catalog.pg_class c
         WHERE up.class = ${regclass("pg_class")} AND c.oid = up.oid AND c.relkind IN ('r', 'p', 'c')
        UNION ALL SELECT ${regclass("pg_class")}, r.ev_class FROM pg_catalog.pg_rewrite r
         WHERE up.class = ${regclass("pg_rewrite")} AND r.oid = up.oid AND r.rulename = '_RETURN') AS next
  ), used AS (
    SELECT up.routine, c.conrelid AS relation, pg_catalog.pg_describe_object(up.class, up.oid, 0) AS object
      FROM up JOIN pg_catalog.pg_constraint c ON c.oid = up.oid
     WHERE up.class = ${regclass("pg_constraint")} AND c.conrelid <> 0 AND (c.conislocal OR c.coninhcount = 0)
    UNION SELECT up.routine, a.attrelid, pg_catalog.pg_describe_object(${regclass("pg_class")}, a.attrelid, a.attnum)
      FROM up JOIN pg_catalog.pg_attrdef d ON d.oid = up.oid
              JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     WHERE up.class = ${regclass("pg_attrdef")} AND pg_catalog.to_jsonb(a) ->> 'attgenerated' = 's'
       AND (a.attislocal OR a.attinhcount = 0)
    UNION SELECT up.routine, i.indrelid,
                 coalesce((SELECT pg_catalog.pg_describe_object(${regclass("pg_constraint")}, o.oid, 0)
                             FROM pg_catalog.pg_constraint o WHERE o.conindid = up.oid AND o.contype IN ('p', 'u', 'x')),
                          pg_catalog.pg_describe_object(up.class, up.oid, 0))
      FROM up JOIN pg_catalog.pg_index i ON i.indexrelid = up.oid JOIN pg_catalog.pg_class c ON c.oid = up.oid
     WHERE up.class = ${regclass("pg_class")} AND NOT c.relispartition
    UNION SELECT up.routine, up.oid, pg_catalog.pg_describe_object(up.class, up.oid, 0)
      FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid
     WHERE up.class = ${regclass("pg_class")} AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
  )
  SELECT used.routine::bigint, used.relation::bigint, used.object
    FROM used JOIN pg_catalog.pg_class c ON c.oid = used.relation
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p', 'm') ORDER BY 3, 1`
