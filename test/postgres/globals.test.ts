import { access, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { identifier, literal } from "../../task/core/quote.ts"
import { readGlobals } from "../../task/postgres/globals.ts"
import { globalsSql } from "../../task/postgres/globals-sql.ts"
import { isProviderRole } from "../../task/postgres/provider-role.ts"
import { type PostgresCluster, type PostgresServer, startPostgres } from "../support/postgres.ts"
import { run } from "../support/programs.ts"
import { setScene } from "../support/scene.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { majors } from "../support/shared-postgres.ts"

/** A server, and one that knows nothing of it. */
async function setServers(major?: number, targetMajor = major): Promise<[PostgresCluster, PostgresCluster]> {
  const start = (of: number | undefined) => startPostgres(of === undefined ? {} : { major: of })
  const servers = await Promise.all([start(major), start(targetMajor)])
  onTestFinished(() => Promise.all(servers.map((server) => server.stop())).then(() => {}))
  return servers
}

/** Backs a server's database up, and takes the globals out of it by stock programs. */
async function globalsInBackupOf(server: PostgresServer, database = "postgres"): Promise<string> {
  const scene = await setScene(server)
  await scene.json(["backup", "--name", "one"], { DATABASE_URL: server.url(database) })
  await server.psql(`DROP DATABASE ${scene.database}`)
  const [id] = await readdir(join(scene.folder, "backups/one"))
  const sealed = join(scene.folder, "backups/one", String(id), "globals.sql.zst.age")
  const identityFile = join(scene.folder, "pgstow.key")
  await writeFile(identityFile, scene.identity, { mode: 0o600 })
  return run("zstd", ["-d"], run("age", ["-d", "-i", identityFile, sealed])).toString()
}

/** As the README says, by a superuser and whatever errors there are. */
async function runByPsql(server: PostgresServer, sql: string): Promise<void> {
  await server.psql(`\\set ON_ERROR_STOP 0\n${sql}`)
}

/** All that the catalog holds of a server's roles, but for who granted what. */
async function catalogOf(server: PostgresServer): Promise<unknown> {
  const options =
    server.major >= 16 ? "bool_or(a.inherit_option) AS inherit, bool_or(a.set_option) AS set" : "1 AS always"
  const rights = `
    SELECT parname, e.grantee::regrole::text, e.privilege_type, e.is_grantable
      FROM pg_parameter_acl, aclexplode(paracl) e ORDER BY 1, 2, 3`
  const queries = [
    `SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
            rolconnlimit, rolvaliduntil, shobj_description(oid, 'pg_authid') FROM pg_roles ORDER BY 1`,
    `SELECT g.rolname AS role, m.rolname, bool_or(a.admin_option) AS admin, ${options}
       FROM pg_auth_members a JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member
      GROUP BY 1, 2 ORDER BY 1, 2`,
    `SELECT rolname, datname, setconfig
       FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase
      ORDER BY 1, 2`,
    ...(server.major >= 15 ? [rights] : []),
  ]
  const answers = queries.map((query) => server.psql(`SELECT json_agg(q) FROM (${query}) AS q`))
  return (await Promise.all(answers)).map((answer): unknown => JSON.parse(answer || "[]"))
}

test.for(majors)(
  "a role's own settings and comments are no SQL where its server is restored: %i",
  async (major) => {
    const [source, target] = await setServers(major)
    const scene = await setScene(source)
    const proof = join(scene.folder, "proof")
    const attack = `; CREATE ROLE x SUPERUSER; COPY (SELECT 1) TO PROGRAM 'touch ${proof}'; \\! touch ${proof}\n--`
    // Each is a line that a filter of pg_dumpall's lines would drop, with the quote that opens what follows.
    const lines = [
      "CREATE ROLE rdsadmin ;",
      "ALTER ROLE rdsadmin ;",
      "GRANT a TO rdsadmin ;",
      "COMMENT ON ROLE rdsadmin ",
      "GRANT a TO b GRANTED BY rdsadmin;",
    ]
    for (const [index, line] of lines.entries()) {
      const [opening, closing] = [literal(`x\n${line}`), literal(attack)]
      const [list, text, comment] = [`list${index}`, `text${index}`, `comment${index}`]
      await source.psql(`
      CREATE ROLE ${list} LOGIN; CREATE ROLE ${text} LOGIN; CREATE ROLE ${comment} LOGIN;
      SET ROLE ${list};
      ALTER ROLE ${list} SET search_path TO ${opening};
      ALTER ROLE ${list} SET application_name TO ${closing};
      SET ROLE ${text};
      ALTER ROLE ${text} SET application_name TO ${opening};
      ALTER ROLE ${text} SET search_path TO ${closing};
      RESET ROLE;
      COMMENT ON ROLE ${comment} IS ${opening};
      SET ROLE ${comment};
      ALTER ROLE ${comment} SET application_name TO ${closing}`)
    }
    await runByPsql(target, await globalsInBackupOf(source))
    expect(await target.psql("SELECT rolname FROM pg_roles WHERE rolsuper")).toBe("postgres")
    await expect(access(proof)).rejects.toThrow("ENOENT")
    expect(await catalogOf(target)).toEqual(await catalogOf(source))
  },
)

/** The globals of a server, as a backup would hold them. */
async function readSql(
  server: PostgresServer,
  database = "postgres",
  warnings: string[] = [],
): Promise<string> {
  const session = await openTestSession(server, connectionTo(server, database))
  try {
    await session.execute("BEGIN READ ONLY")
    return globalsSql(await readGlobals(session, (warning) => warnings.push(warning)))
  } finally {
    await session.close()
  }
}

const oddNames = [
  `it's "odd"`,
  "two\nlines; DROP ROLE postgres;\n",
  "back\\slash\\",
  "\\q",
  "$$ $1 $do$",
  " spaces around ",
  "-- comment /*",
  ":variable :'variable'",
  "Späße ☂ 🐘",
  "\u2028\u0085\u001b[31m\u0007\t\r",
  "x".repeat(63),
  "é".repeat(31),
  "select",
  "rdsadmin\n",
]

test.for(majors)("roles come back as they were, whatever is in names and values: %i", async (major) => {
  const [source, target] = await setServers(major)
  const databases = oddNames.slice(0, 3).map(identifier)
  const make = oddNames.flatMap((name, index) => {
    const [role, other] = [identifier(name), identifier(String(oddNames.at(index - 1)))]
    const values = [name, "a'b\\", "", ...oddNames.slice(0, index)]
    const inherit = index % 2 === 0 ? "INHERIT" : "NOINHERIT"
    return [
      `CREATE ROLE ${role} ${inherit} PASSWORD 'secret' CONNECTION LIMIT ${index - 1}`,
      `COMMENT ON ROLE ${role} IS ${literal(`${name} '; --`)}`,
      `ALTER ROLE ${role} SET search_path TO ${values.map(literal).join(", ")}`,
      `ALTER ROLE ${role} SET application_name TO ${literal(name)}`,
      `ALTER ROLE ${role} SET "my.own" TO ${literal(`${name}=${name}`)}`,
      `ALTER ROLE ${role} SET session_preload_libraries TO ${literal(name)}, 'b, c'`,
      `ALTER ROLE ${role} SET DateStyle TO 'German, DMY'`,
      `ALTER ROLE ${role} IN DATABASE ${databases[index % 3]} SET search_path TO ${role}, public`,
      ...(index === 0 ? [] : [`GRANT ${other} TO ${role}${index % 3 === 0 ? " WITH ADMIN OPTION" : ""}`]),
      ...(major >= 15 ? [`GRANT SET ON PARAMETER "my.own" TO ${role} WITH GRANT OPTION`] : []),
    ]
  })
  const grants = [
    "CREATE ROLE app LOGIN CREATEDB CREATEROLE BYPASSRLS REPLICATION VALID UNTIL '2031-02-03 04:05:06.789+01'",
    "CREATE ROLE chief SUPERUSER NOINHERIT VALID UNTIL 'infinity'",
    "ALTER ROLE chief SET TimeZone TO 'Asia/Kathmandu'",
    "ALTER ROLE chief SET temp_tablespaces TO ''",
    "GRANT pg_monitor, pg_signal_backend TO app",
    "GRANT chief TO pg_monitor",
    "CREATE ROLE readers",
    "GRANT readers TO app, chief",
    ...(major >= 15
      ? [
          "GRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO app",
          "GRANT SET ON PARAMETER log_duration TO PUBLIC",
        ]
      : []),
    ...(major >= 16
      ? [
          "CREATE ROLE member",
          "GRANT chief TO member WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
          "GRANT app TO member WITH SET FALSE",
          "SET ROLE app",
          "CREATE ROLE made_by_app",
          "GRANT made_by_app TO member",
          "RESET ROLE",
          "GRANT made_by_app TO member WITH INHERIT FALSE, ADMIN TRUE",
        ]
      : []),
  ]
  const makeDatabases = databases.map((name) => `CREATE DATABASE ${name};\n`).join("")
  await source.psql(makeDatabases + [...make, ...grants].map((sql) => `${sql};\n`).join(""))
  await target.psql(makeDatabases)

  const sql = await globalsInBackupOf(source)
  expect(sql).not.toContain("SCRAM")
  await runByPsql(target, sql)
  expect(await catalogOf(target)).toEqual(await catalogOf(source))
})

test("a newer server's roles can be made on an older one", async () => {
  const [source, target] = await setServers(majors.at(-1), majors.at(0))
  await source.psql(`
    CREATE ROLE readers; CREATE ROLE app LOGIN NOINHERIT; COMMENT ON ROLE app IS 'it'; ALTER ROLE app SET work_mem = '9MB';
    GRANT readers TO app WITH ADMIN OPTION; GRANT pg_monitor TO readers`)
  await target.psql((await readSql(source)).replace('CREATE ROLE "postgres"', "-- "))
  expect(
    await target.psql(
      "SELECT pg_has_role('app', 'pg_monitor', 'MEMBER WITH ADMIN OPTION'), pg_has_role('app', 'readers', 'MEMBER WITH ADMIN OPTION')",
    ),
  ).toBe("f|t")
})

test("a backup of a hosted service's server carries its users' roles, and not the service's own", async () => {
  const [hosted, elsewhere] = await setServers()
  await hosted.psql(`
    CREATE ROLE rdsadmin SUPERUSER; CREATE ROLE rds_superuser; CREATE ROLE azure_pg_admin; CREATE ROLE cloudsqlsuperuser;
    COMMENT ON ROLE rdsadmin IS 'not yours';
    ALTER ROLE rdsadmin SET statement_timeout = 0;
    ALTER ROLE rdsadmin IN DATABASE postgres SET statement_timeout = 0;
    CREATE ROLE app LOGIN; CREATE ROLE readers; CREATE ROLE rdsadmin_of_ours;
    ALTER ROLE app SET work_mem = '9MB';
    GRANT rds_superuser TO rdsadmin;
    ${hosted.major >= 15 ? "GRANT SET ON PARAMETER work_mem TO rdsadmin;" : ""}
    GRANT readers TO app GRANTED BY postgres`)
  const sql = await globalsInBackupOf(hosted)
  expect(sql).not.toMatch(/rdsadmin"|rds_|azure|cloudsql/)

  // That role is there on every server.
  await elsewhere.psql(sql.replace('CREATE ROLE "postgres"', "-- "))
  const roles = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
  expect(await elsewhere.psql(roles)).toBe("app\npostgres\nrdsadmin_of_ours\nreaders")
  expect(await elsewhere.psql("SELECT pg_has_role('app', 'readers', 'MEMBER')")).toBe("t")
  expect(await elsewhere.psql("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'")).toBe("{work_mem=9MB}")
})

test("what a hosted service's role was granted to is said", async () => {
  const [hosted] = await setServers()
  await hosted.psql("CREATE ROLE rds_superuser; CREATE ROLE app; GRANT rds_superuser TO app")
  expect(await readSql(hosted)).toContain('GRANT "rds_superuser" TO "app";')
})

test("who may not read passwords reads all of it, labels too", async () => {
  const [source] = await setServers()
  await source.psql(`
    SET allow_system_table_mods = on;
    CREATE ROLE app LOGIN PASSWORD 'pw' VALID UNTIL '2040-01-01 00:00:00+00';
    INSERT INTO pg_shseclabel VALUES ('app'::regrole, 'pg_authid'::regclass, 'a "provider"', E'it''s\\n\\\\ secret')`)
  const url = connectionTo(source, "postgres", { user: "app" })
  const session = await openTestSession(source, { ...url, password: "pw" })
  await session.execute("BEGIN")
  const sql = globalsSql(await readGlobals(session))
  await session.close()
  expect(sql).toContain(
    `CREATE ROLE "app" LOGIN VALID UNTIL '2040-01-01T00:00:00+00:00';
SECURITY LABEL FOR "a ""provider""" ON ROLE "app" IS  E'it''s\\\\n\\\\\\\\ secret';`
      .replaceAll("\\\\n", "\n")
      .replaceAll("\\\\", "\\"),
  )
})

test("what is not text in UTF-8 is left out, with a warning, and nothing else", async () => {
  const [source] = await setServers()
  await source.psql(`
    CREATE DATABASE windows TEMPLATE template0 ENCODING 'WIN1252';
    CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'`)
  await source.psql(
    'SET client_encoding = \'UTF8\'; CREATE ROLE plain; CREATE ROLE "Ёлка"; GRANT plain TO "Ёлка"',
  )
  const [inWindows, inAscii, inUtf8]: string[][] = [[], [], []]
  const windows = await readSql(source, "windows", inWindows)
  expect(windows).toContain('CREATE ROLE "plain";')
  expect(windows).not.toContain("GRANT")
  expect(inWindows).toEqual([expect.stringContaining("can't be read as UTF-8")])

  await source.psql(
    "SET client_encoding = 'SQL_ASCII'; DO $$ BEGIN EXECUTE E'CREATE ROLE \"\\xe9\"'; END $$",
    "ascii",
  )
  expect(await readSql(source, "ascii", inAscii)).toMatch(/CREATE ROLE "plain";.*GRANT "plain" TO "Ёлка"/s)
  expect(inAscii).toHaveLength(1)
  expect(await readSql(source, "postgres", inUtf8)).toContain('GRANT "plain" TO "Ёлка"')
})

test.each([
  ["rdsadmin", true],
  ["rds_superuser", true],
  ["supabase_auth_admin", true],
  ["rdsadmin ", false],
  ["rdsadmin\n", false],
  ["my_rds_user", false],
  ["RDSADMIN", false],
  ["app", false],
])("%j is a hosted service's own: %s", (name, expected) => {
  expect(isProviderRole(name)).toBe(expected)
})
