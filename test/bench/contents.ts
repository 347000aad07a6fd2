import type { PostgresServer } from "../support/postgres.ts"

/** What there is in a database, by kind and name: the rows of each table, how many indexes and constraints it has. */
export type Contents = ReadonlyMap<string, string>

const query = String.raw`
  SELECT format('SELECT %L, count(*) FROM %s', 'rows of ' || c.oid::regclass::text, c.oid::regclass)
    FROM pg_class AS c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  \gexec
  SELECT 'indexes of ' || indrelid::regclass, count(*) FROM pg_index
   WHERE indisvalid AND indrelid::regclass::text !~ '^pg_' GROUP BY indrelid;
  SELECT 'constraints of ' || conrelid::regclass, count(*) FROM pg_constraint
   WHERE convalidated AND conrelid <> 0 AND conrelid::regclass::text !~ '^pg_' GROUP BY conrelid;
  SELECT 'large objects', count(*) FROM pg_largeobject_metadata;
  SELECT 'pages of large objects', count(*) FROM pg_largeobject;`

export async function contentsOf(server: PostgresServer, database: string): Promise<Contents> {
  const lines = (await server.psql(query, database)).split("\n").filter((line) => line !== "")
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf("|")
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
}

/** In words, what is in one of them and not the same in the other. */
export function differencesBetween(expected: Contents, found: Contents): string[] {
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((name) => {
    const [a = "none", b = "none"] = [expected.get(name), found.get(name)]
    return a === b ? [] : [`${name}: ${a} expected, ${b} found`]
  })
}
