import { expect, onTestFinished, test } from "vitest"
import { readToc, type TocEntry } from "../../task/archive/toc.ts"
import { literal } from "../../task/core/quote.ts"
import { propertyStatements } from "../../task/postgres/database-properties.ts"
import { inPieces } from "../support/bytes.ts"
import { dumpOf } from "../support/dump.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

const keepAll = { owners: "keep", grants: "keep" } as const

test.for(majors)(
  "all that PostgreSQL %i keeps of a database can be said of one with another name",
  async (major) => {
    const server = await sharedPostgres(major)
    const old = await server.createDatabase(`Old "one"; ${major}\n`)
    const role = `Role "of"; properties ${major}`
    const [db, of] = [`"${old.replaceAll('"', '""')}"`, `"${role.replaceAll('"', '""')}"`]
    await server.psql(`
    CREATE ROLE ${of};
    ALTER DATABASE ${db} OWNER TO ${of};
    ALTER DATABASE ${db} SET work_mem = '5MB';
    ALTER DATABASE ${db} CONNECTION LIMIT 7;
    ALTER ROLE ${of} IN DATABASE ${db} SET search_path = a, "B;";
    COMMENT ON DATABASE ${db} IS 'it''s "the old"; one \\n';
    REVOKE CONNECT ON DATABASE ${db} FROM PUBLIC;
    GRANT CREATE ON DATABASE ${db} TO pg_monitor WITH GRANT OPTION`)
    const { entries } = await readToc(inPieces(await dumpOf(server, old)))

    const renamed = await server.createDatabase(`New 'one' "of" ${major}`)
    for (const { sql } of propertyStatements(entries, renamed, keepAll)) await server.psql(sql)
    const describe = (name: string) =>
      server.psql(`
      SELECT datdba::regrole, datconnlimit, array(SELECT item FROM unnest(datacl::text[]) AS item ORDER BY item), shobj_description(d.oid, 'pg_database'), rs.setrole::regrole, rs.setconfig
        FROM pg_database d LEFT JOIN pg_db_role_setting rs ON rs.setdatabase = d.oid AND rs.setrole <> 0
       WHERE datname = '${name.replaceAll("'", "''")}'`)
    expect(await describe(renamed)).toBe(await describe(old))

    const none = propertyStatements(entries, renamed, { owners: "none", grants: "none" })
    expect(none.filter(({ sql }) => /OWNER|GRANT|REVOKE|ALTER ROLE/.test(sql))).toEqual([])
    expect(propertyStatements([], renamed, keepAll)).toEqual([])
  },
)

test("what is only called like a database, or names it elsewhere, is left as it is", async () => {
  const server = await sharedPostgres()
  const old = await server.createDatabase()
  const role = `a DATABASE ${old} b`
  const comment = `\\'; \\! false; DROP DATABASE ${old}; --`
  await server.psql(
    `CREATE ROLE "${role}"; ALTER ROLE "${role}" IN DATABASE ${old} SET application_name = ${literal(comment)};
     COMMENT ON DATABASE ${old} IS ${literal(comment)};
     CREATE SCHEMA "DATABASE ${old}"; CREATE VIEW "DATABASE ${old}" AS SELECT 1 AS a;
     CREATE TABLE "DATABASE" (a int);
     CREATE RULE ${old} AS ON INSERT TO "DATABASE" DO ALSO (SELECT 1; SELECT 2)`,
    old,
  )
  onTestFinished(() => server.psql(`DROP DATABASE ${old}; DROP ROLE "${role}"`).then(() => {}))
  const { entries } = await readToc(inPieces(await dumpOf(server, old)))
  const quoted = ` E'${comment.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`
  expect(propertyStatements(entries, "new", keepAll).map(({ sql }) => sql)).toEqual([
    `COMMENT ON DATABASE "new" IS ${quoted}`,
    `ALTER ROLE "${role}" IN DATABASE "new" SET application_name TO ${quoted}`,
    'ALTER DATABASE "new" OWNER TO "postgres"',
  ])
})

test("the old name is read as a name, whatever comes after it", () => {
  const of = (kind: string, name: string, definition: string): TocEntry => ({
    dumpId: 1,
    tableOid: 1262,
    oid: 1,
    kind,
    name,
    schema: undefined,
    owner: "o",
    section: "pre-data",
    definition,
    hasData: false,
    dependsOn: [],
  })
  const entries = [
    of(
      "DATABASE",
      "a b",
      `CREATE DATABASE "a b" WITH TEMPLATE = template0 ICU_RULES = '& a < b WITH TEMPLATE';\n`,
    ),
    of("DATABASE PROPERTIES", "a b", `ALTER DATABASE "a b" CONNECTION LIMIT = 3;\n`),
    of("COMMENT", 'DATABASE "a b"', `COMMENT ON DATABASE "a b" IS E'\\' \\! false; it';\n`),
  ]
  expect(propertyStatements(entries, "c", { owners: "none", grants: "keep" }).map(({ sql }) => sql)).toEqual([
    'ALTER DATABASE "c" CONNECTION LIMIT = 3',
    `COMMENT ON DATABASE "c" IS  E'\\\\' ! false`,
    "it",
  ])
})
