import { expect, test } from "vitest"
import { readToc } from "../../task/archive/toc.ts"
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
