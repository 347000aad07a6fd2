import { join } from "node:path"
import { text } from "node:stream/consumers"
import { startChild } from "../../task/processes/child.ts"
import type { PostgresServer } from "./postgres.ts"

export type Database = { readonly server: PostgresServer; readonly name: string }

/**
 * Everything in which two databases differ, a line each; none where they are equal.
 *
 * Compared are the schemas, as pg_dump writes them; the rows of every table and materialized view, by a checksum
 * that the server computes and that does not depend on their order; the sequences; the large objects with their
 * owners, grants and comments; encoding, locale, owner, grants, comment and settings of the database. Nothing may
 * write to them meanwhile.
 */
export async function compareDatabases(a: Database, b: Database): Promise<string[]> {
  const { binDir } = a.server.major > b.server.major ? a.server : b.server
  const [schemaA, schemaB, contentsA, contentsB] = await Promise.all([
    readSchema(a, binDir),
    readSchema(b, binDir),
    readContents(a),
    readContents(b),
  ])
  return [...compareSchemas(schemaA, schemaB), ...compareContents(contentsA, contentsB)]
}

/**
 * The lines of the schema, without those that tell of versions or hold a random key: newer minor versions of a server
 * number the columns' versions, which an older pg_dump takes for an option.
 */
async function readSchema({ server, name }: Database, binDir: string): Promise<string[]> {
  const env = { ...server.env, PGDATABASE: name, PGTZ: "UTC", PGDATESTYLE: "ISO, YMD" }
  const dump = startChild({ file: join(binDir, "pg_dump"), args: ["--schema-only"], env }, { stdout: "pipe" })
  const [schema] = await Promise.all([text(dump.stdout), dump.ended])
  return schema
    .replaceAll(/^ALTER TABLE (?:"(?:[^"]|"")*"|[^";])* SET \(pg_attver=\d+\);\n/gm, "")
    .split("\n")
    .filter((line) => !/^(-- Dumped |\\(un)?restrict )/.test(line))
}

const schemaLinesShown = 20

function compareSchemas(a: readonly string[], b: readonly string[]): string[] {
  const first = a.findIndex((line, at) => line !== b[at])
  if (first < 0 && a.length === b.length) return []
  const differences = [
    ...without(a, b).map((line) => `schema: only in the first: ${line}`),
    ...without(b, a).map((line) => `schema: only in the second: ${line}`),
  ].filter((line) => !/: (--( Name: .*)?)?$/.test(line))
  if (differences.length === 0) return [`schema: the same in another order, from line ${first + 1} on`]
  const more = differences.length - schemaLinesShown
  return more <= 0 ? differences : [...differences.slice(0, schemaLinesShown), `schema: ${more} more lines`]
}

/** The lines of `a` that are not in `b`, as often as they are there too often. */
function without(a: readonly string[], b: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const line of b) left.set(line, (left.get(line) ?? 0) + 1)
  return a.filter((line) => {
    const count = left.get(line) ?? 0
    left.set(line, count - 1)
    return count <= 0
  })
}

/** Prints a JSON array a line: what it is, and what is known of it as text. */
const contentsQuery = String.raw`
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = '';
SET LOCAL row_security = off;
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'UTC';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;

SELECT json_build_array('database', format('%s, owner %s, granted %s, comment %s, limit %s, settings %s',
    concat_ws(', ', pg_encoding_to_char(encoding), coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), datcollate, datctype, to_jsonb(d) ->> 'datlocale',
      to_jsonb(d) ->> 'daticulocale'),
    datdba::regrole,
    (SELECT string_agg(item, ' ' ORDER BY item) FROM unnest(datacl::text[]) AS item),
    shobj_description(oid, 'pg_database'),
    datconnlimit,
    (SELECT string_agg(concat_ws(' of ', setting, nullif(setrole, 0)::regrole), ', ' ORDER BY setrole, setting)
       FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE setdatabase = d.oid)))
  FROM pg_database AS d WHERE datname = current_database();

SELECT json_build_array('large object ' || oid, format('sha256 %s, owner %s, granted %s, comment %s',
    encode(sha256(lo_get(oid)), 'hex'), lomowner::regrole,
    (SELECT string_agg(item, ' ' ORDER BY item) FROM unnest(lomacl::text[]) AS item),
    obj_description(oid, 'pg_largeobject')))
  FROM pg_largeobject_metadata ORDER BY oid;

-- The columns in the order of their names: where a table inherits, a dump may restore them in another.
SELECT CASE
    WHEN relkind = 'S' THEN format(
      'SELECT json_build_array(%L, format(''last value %%s, called %%s'', last_value, is_called)) FROM %s',
      'sequence ' || name, name)
    WHEN NOT relispopulated THEN format('SELECT json_build_array(%L, ''not populated'')', 'materialized view ' || name)
    ELSE format(
      'SELECT json_build_array(%L, format(''%%s rows, checksum %%s'', count(*), '
      'sum(hashtextextended(ROW(%s)::text COLLATE "C", 0)))) FROM ONLY %s',
      CASE relkind WHEN 'r' THEN 'table ' ELSE 'materialized view ' END || name, columns, name)
    END
  FROM pg_class AS c, format('%s.%I', relnamespace::regnamespace::text, relname) AS name,
    LATERAL (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) AS columns
      FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a
 WHERE relkind IN ('r', 'm', 'S') AND relpersistence <> 't' AND relnamespace NOT IN (
   SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
 ORDER BY name
\gexec
COMMIT;
`

async function readContents({ server, name }: Database): Promise<Map<string, string>> {
  const lines = (await server.psql(contentsQuery, name)).split("\n")
  // The query prints arrays of two texts.
  return new Map(lines.map((line) => JSON.parse(line) as [string, string]))
}

function compareContents(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  return [...new Set([...a.keys(), ...b.keys()])].flatMap((name) => {
    const [inA, inB] = [a.get(name), b.get(name)]
    if (inA === inB) return []
    return [`${name}: ${inA ?? "missing in the first"} | ${inB ?? "missing in the second"}`]
  })
}
