import { describe, expect, onTestFinished, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

/** A backup whose rows an application may read by way of another role, and a server that has neither. */
async function setServers(major: number) {
  const [source, target] = await Promise.all([startPostgres({ major }), startPostgres({ major })])
  onTestFinished(() => Promise.all([source.stop(), target.stop()]).then(() => {}))
  const scene = await setScene(source)
  await source.psql(`
    CREATE ROLE orders_owner; CREATE ROLE reader NOINHERIT CREATEDB;
    CREATE ROLE app LOGIN PASSWORD 'secret' CONNECTION LIMIT 9; GRANT reader TO app; GRANT orders_owner TO app;
    ALTER ROLE app SET work_mem = '9MB'; COMMENT ON ROLE app IS 'the "application"';
    CREATE ROLE boss SUPERUSER LOGIN; CREATE ROLE copier REPLICATION`)
  await source.psql(
    `CREATE SCHEMA shop AUTHORIZATION orders_owner; SET ROLE orders_owner;
     CREATE TABLE shop.orders (id int PRIMARY KEY); INSERT INTO shop.orders SELECT generate_series(1, 100);
     GRANT SELECT ON shop.orders TO reader; RESET ROLE;
     ALTER DATABASE ${scene.database} OWNER TO orders_owner`,
    scene.database,
  )
  await scene.json(["backup", "--name", "orders"])
  const restore = async (user: string, ...args: string[]) => {
    const url = new URL(target.url("postgres"))
    if (user !== "") [url.username, url.password] = [user, "pw"]
    return scene.run(["restore", "latest", "--into", "orders", "--json", ...args], { DATABASE_URL: url.href })
  }
  return { scene, target, restore }
}

async function rowsSeenByTheApplication(
  { database }: Scene,
  target: Awaited<ReturnType<typeof startPostgres>>,
) {
  expect(database).not.toBe("orders")
  await target.psql("ALTER ROLE app PASSWORD 'again'")
  const url = new URL(target.url("orders"))
  ;[url.username, url.password] = ["app", "again"]
  return target.psql(`\\connect '${url.href}'\nSELECT count(*), current_user FROM shop.orders`, "orders")
}

const attributes = `
  SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolinherit, rolcreatedb, rolcanlogin, rolreplication,
           rolconnlimit, rolconfig, shobj_description(oid, 'pg_authid')), E'\n' ORDER BY rolname)
    FROM pg_roles WHERE rolname IN ('app', 'boss', 'copier', 'reader', 'orders_owner')`

describe.for(newestMajor)("PostgreSQL %i", (major) => {
  test("missing roles are made as they were, and the application reads its rows", async () => {
    const { scene, target, restore } = await setServers(major)
    const without = failureOfRun(await restore(""))
    expect(without.message).toContain("lacks 2 roles")
    expect(without.hint).toContain("--create-roles")
    const { exitCode, stdout } = await restore("", "--create-roles")
    expect(exitCode).toBe(0)
    expect(stdout).toContain("made the roles app, boss, copier, orders_owner, reader")
    expect(stdout).toMatch(/without a password.* app, boss: set it in psql by /)
    expect(stdout).toContain("superusers in the backup: boss")
    expect(stdout).not.toContain("refused:")
    expect(await target.psql(attributes)).toBe(await scene.server.psql(attributes))
    expect(await rowsSeenByTheApplication(scene, target)).toBe("100|app")
  })

  test("a restore that ends after it has made roles says which they are", async () => {
    const { target, restore } = await setServers(major)
    await target.psql("CREATE DATABASE incomplete_orders")
    const stopped = await restore("", "--create-roles")
    expect(failureOfRun(stopped).kind).toBe("notConfirmed")
    expect(stopped.stderr).toContain("made the roles app, boss, copier, orders_owner, reader")
    expect(stopped.stderr).toMatch(/without a password.* app, boss: set it in psql by /)
  })

  test("an admin who is no superuser makes what it may, and is told what it may not", async () => {
    const { scene, target, restore } = await setServers(major)
    await target.psql("CREATE ROLE adm LOGIN CREATEROLE CREATEDB PASSWORD 'pw'")
    const { exitCode, stdout, stderr } = await restore("adm", "--create-roles")
    expect(exitCode, stderr).toBe(0)
    expect(stdout).toMatch(/refused: ALTER ROLE \\"boss\\" SUPERUSER: /)
    expect(stdout).toMatch(/refused: ALTER ROLE \\"copier\\" REPLICATION: /)
    expect(stdout.match(/refused:/g)).toHaveLength(2)
    expect(await rowsSeenByTheApplication(scene, target)).toBe("100|app")
    expect(await target.psql("SELECT rolconfig FROM pg_roles WHERE rolname = 'app'")).toBe("{work_mem=9MB}")
  })

  test("an admin who is no superuser gives what is in others' schemas back to its owners", async () => {
    const { scene, target } = await setServers(major)
    await scene.server.psql(
      `CREATE SCHEMA "o'd d""s" AUTHORIZATION orders_owner; CREATE ROLE "wri""ter";
       GRANT CREATE, USAGE ON SCHEMA public, "o'd d""s" TO "wri""ter"; GRANT CREATE ON SCHEMA public, shop TO reader;
       SET ROLE "wri""ter"; CREATE TABLE paid (id int PRIMARY KEY); CREATE TABLE "o'd d""s".due AS SELECT 1 AS id; RESET ROLE;
       SET ROLE reader; CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET ROLE;
       REVOKE CREATE ON SCHEMA public FROM reader; REVOKE CREATE ON SCHEMA shop FROM reader`,
      scene.database,
    )
    await scene.json(["backup", "--name", "later"])
    await target.psql("CREATE ROLE adm LOGIN CREATEROLE CREATEDB PASSWORD 'pw'")
    const url = new URL(target.url("postgres"))
    ;[url.username, url.password] = ["adm", "pw"]
    const args = ["restore", "latest", "--database", "later", "--into", "later", "--create-roles"]
    const { exitCode, stderr } = await scene.run(args, { DATABASE_URL: url.href })
    expect(exitCode, stderr).toBe(0)
    const look = `
      SELECT (SELECT string_agg(relname || relowner::regrole, ' ' ORDER BY relname) FROM pg_class
               WHERE relname IN ('paid', 'due', 'orders')),
             (SELECT proowner::regrole FROM pg_proc WHERE proname = 'one'),
             (SELECT string_agg(nspname || coalesce(nspacl, acldefault('n', nspowner))::text, ' ' ORDER BY nspname)
                FROM pg_namespace WHERE nspname !~ '^(pg_|info)')`
    expect(await target.psql(look, "later")).toBe(await scene.server.psql(look, scene.database))
  })

  test("roles that are there stay as they are", async () => {
    const { target, restore } = await setServers(major)
    await target.psql("CREATE ROLE app NOLOGIN CONNECTION LIMIT 3; CREATE ROLE reader")
    const { exitCode, stdout } = await restore("", "--create-roles")
    expect(exitCode).toBe(0)
    expect(stdout).toContain("made the roles boss, copier, orders_owner")
    const look = "SELECT rolconnlimit, rolcanlogin, rolconfig IS NULL FROM pg_roles WHERE rolname = 'app'"
    expect(await target.psql(look)).toBe("3|f|t")
    expect(await target.psql("SELECT pg_has_role('app', 'reader', 'MEMBER')")).toBe("f")
    expect(await target.psql("SELECT pg_has_role('app', 'orders_owner', 'MEMBER')")).toBe("t")
  })
})
