import { compareDatabases } from "../support/compare-databases.ts"
import type { PostgresServer } from "../support/postgres.ts"
import type { AttackWorld } from "./attack.ts"
import { escapes, hostileText, identifier, literal } from "./hostile-text.ts"
import type { Random } from "./random.ts"

/**
 * Fills a database and its server with names, settings, comments and data of a stranger's, backs it up, and makes it
 * new on another server as the documents say. All comes back as it was, and nothing of it is obeyed.
 */
export async function attackBySource(world: AttackWorld, index: number, random: Random): Promise<void> {
  const { bed, source, target, canary } = world
  const text = (mostBytes = 50) => hostileText(random, canary, mostBytes)
  const database = `${text()} ${index}`
  const roles = [`${text(40)} ${index}`, `${text(40)} m${index}`]
  const [owner = "", member = ""] = roles.map(identifier)
  await source.createDatabase(database)
  await source.psql(
    `CREATE ROLE ${owner} LOGIN PASSWORD 'hunter2-${index}';
     CREATE ROLE ${member} LOGIN CONNECTION LIMIT 3;
     GRANT ${owner} TO ${member};
     ALTER ROLE ${member} SET search_path = ${literal(text())};
     ALTER ROLE ${member} SET application_name = ${literal(text())};
     ALTER ROLE ${owner} SET "my.setting" = ${literal(text())};
     COMMENT ON ROLE ${owner} IS ${literal(text(200))};
     ALTER DATABASE ${identifier(database)} SET "my.other" = ${literal(text())};
     ALTER DATABASE ${identifier(database)} SET application_name = ${literal(text())};
     COMMENT ON DATABASE ${identifier(database)} IS ${literal(text(200))};
     ALTER ROLE ${member} IN DATABASE ${identifier(database)} SET "my.third" = ${literal(text())};`,
  )
  const [schema, table, column, type] = [text(), text(), text(), text()].map(identifier)
  await source.psql(
    `CREATE SCHEMA ${schema} AUTHORIZATION ${owner};
     CREATE TYPE ${schema}.${type} AS ENUM (${literal(text())}, 'plain');
     CREATE TABLE ${schema}.${table} (${column} text DEFAULT ${literal(text())}, id serial PRIMARY KEY, kind ${schema}.${type});
     ALTER TABLE ${schema}.${table} ADD CONSTRAINT ${identifier(text())} CHECK (${column} <> ${literal(text())});
     COMMENT ON TABLE ${schema}.${table} IS ${literal(text(200))};
     COMMENT ON COLUMN ${schema}.${table}.${column} IS ${literal(text(200))};
     INSERT INTO ${schema}.${table} (${column}, kind) VALUES ${[1, 2, 3].map(() => `(${literal(`${text(300)}.`)}, 'plain')`).join(", ")};
     CREATE INDEX ${identifier(text())} ON ${schema}.${table} (${column});
     CREATE VIEW ${schema}.${identifier(`v${text(40)}`)} AS SELECT ${column} AS ${identifier(text())} FROM ${schema}.${table};
     CREATE FUNCTION ${schema}.${identifier(text())}() RETURNS text LANGUAGE sql AS ${literal(`SELECT ${literal(text())}`)};
     GRANT SELECT ON ${schema}.${table} TO ${member};
     ALTER TABLE ${schema}.${table} OWNER TO ${owner};`,
    database,
  )
  // A table that leaves pg_dump's stream.
  if (random.chance(0.25)) {
    const [big, content] = [`b${text(40)}`, `c${text(40)}`].map(identifier)
    await source.psql(
      `CREATE TABLE ${schema}.${big} (n int, ${content} text);
       ALTER TABLE ${schema}.${big} ALTER ${content} SET STORAGE PLAIN;
       INSERT INTO ${schema}.${big} SELECT n, rpad(n::text, 7000, 'x') FROM generate_series(1, 2300) AS n`,
      database,
    )
  }

  const env = { ...world.env, DATABASE_URL: source.url(database), PGSTOW_STORAGE: await world.newStorage() }
  await bed.json(["backup"], { env })
  await bed.json(["list"], { env })
  await bed.json(["show", "latest"], { env })
  for (const args of ["list", "show latest", "verify latest"]) await watchScreen(world, args, env)
  const globals = await world.globalsOf(env.PGSTOW_STORAGE)
  for (const secret of ["hunter2", "SCRAM-SHA-256"])
    if (globals.includes(secret)) throw new Error(`the globals hold ${secret}`)
  // As the README says: what is there already is an error, and no reason to stop.
  await target.psql(`\\set ON_ERROR_STOP off\n${globals}`)
  const into = `${text()} ${index} back`
  await bed.json(["restore", "latest", "--into", into], {
    env: { ...env, DATABASE_URL: target.url("postgres") },
  })

  const different = [
    ...(await compareDatabases({ server: source, name: database }, { server: target, name: into })),
    ...(await compareRoles(source, target, roles)),
  ]
  await world.assertNotObeyed()
  if (different.length > 0) throw new Error(`it came back as another: ${different.slice(0, 4).join("; ")}`)
  for (const [server, name] of [
    [source, database],
    [target, into],
  ] as const) {
    await server.psql(`DROP DATABASE ${identifier(name)}`)
    await server.psql(`DROP ROLE ${member}; DROP ROLE ${owner}`)
  }
}

/** Fails where the program writes to a terminal what came from elsewhere, and what a terminal obeys. */
async function watchScreen(
  world: AttackWorld,
  args: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const screen = await world.screenOf(args, env)
  const seen = escapes.filter((sequence) => screen.includes(sequence))
  if (seen.length > 0 || /[\u0080-\u009f]/.test(screen))
    throw new Error(`${args} wrote an escape sequence to the terminal: ${JSON.stringify(seen)}`)
}

async function compareRoles(
  a: PostgresServer,
  b: PostgresServer,
  roles: readonly string[],
): Promise<string[]> {
  const query = `SELECT json_build_object('name', rolname, 'super', rolsuper, 'login', rolcanlogin, 'limit', rolconnlimit,
      'settings', (SELECT json_agg(setconfig) FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0),
      'comment', shobj_description(oid, 'pg_authid'),
      'member of', (SELECT json_agg(g.rolname) FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid WHERE member = r.oid))
    FROM pg_roles r WHERE rolname IN (${roles.map(literal).join(", ")}) ORDER BY rolname COLLATE "C"`
  const [inA, inB] = [await a.psql(query), await b.psql(query)]
  return inA === inB ? [] : [`roles: ${inA} | ${inB}`]
}
