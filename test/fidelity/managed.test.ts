import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** Roles as managed services have them: nobody who logs in is a superuser. */
const roles = `
  CREATE ROLE provider_admin NOLOGIN;
  CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD 'secret' IN ROLE provider_admin;
  CREATE ROLE app LOGIN PASSWORD 'secret';
  CREATE ROLE readers;
  CREATE ROLE backups LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data;
  GRANT app, readers TO master`

/** What an application's owner makes, and what the provider has put there. */
const contents = `
  CREATE EXTENSION pg_trgm;
  CREATE EXTENSION hstore SCHEMA public;
  GRANT CREATE ON SCHEMA public TO app;
  SET SESSION AUTHORIZATION app;
  CREATE SCHEMA shop;
  CREATE TABLE shop.customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, attributes public.hstore);
  CREATE INDEX ON shop.customers USING gin (name public.gin_trgm_ops);
  CREATE TABLE shop.orders (id serial PRIMARY KEY, customer bigint REFERENCES shop.customers, placed date) PARTITION BY RANGE (id);
  CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES FROM (1) TO (1000);
  CREATE TABLE shop.orders_2 PARTITION OF shop.orders DEFAULT;
  INSERT INTO shop.customers (name, attributes) SELECT 'customer ' || n, public.hstore('n', n::text) FROM generate_series(1, 2000) AS n;
  INSERT INTO shop.orders (customer, placed) SELECT n, date '2024-01-01' + n FROM generate_series(1, 2000) AS n;
  CREATE MATERIALIZED VIEW shop.per_customer AS SELECT customer, count(*) FROM shop.orders GROUP BY 1;
  CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.placed := current_date; RETURN NEW; END$$;
  CREATE TRIGGER touch BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();
  ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
  CREATE POLICY everything ON shop.customers TO readers USING (true);
  ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO readers;
  GRANT USAGE ON SCHEMA shop TO readers;
  GRANT SELECT ON ALL TABLES IN SCHEMA shop TO readers`

describe.for(majors)("where nobody is a superuser, with PostgreSQL %i", (major) => {
  const place = async () => {
    const server = await startPostgres({ major })
    onTestFinished(() => server.stop())
    const scene = await setScene(server)
    const { database } = scene
    await server.psql(roles)
    await server.psql(`ALTER DATABASE ${database} OWNER TO app`)
    await server.psql(contents, database)
    const as = (role: string) => ({
      DATABASE_URL: server.url(database).replace(/\/\/[^@]*@/, `//${role}:secret@`),
    })
    return { server, scene, database, as }
  }

  test("the owner's backup, restored by who makes databases and may be the owner, is equal", async () => {
    const { server, scene, database, as } = await place()
    await scene.json(["backup", "--jobs", "2"], as("app"))
    const restored = await scene.run(["restore", "latest", "--into", "back", "--jobs", "2"], as("master"))
    expect(restored.exitCode, restored.stderr).toBe(0)
    expect(await compareDatabases({ server, name: database }, { server, name: "back" })).toEqual([])
  })

  test("who reads everything is refused where row security would hide rows, and what to do is said", async () => {
    const { scene, as } = await place()
    const refused = await scene.run(["backup"], as("backups"))
    expect(refused.exitCode).not.toBe(0)
    expect(refused.stderr).toContain("BYPASSRLS")
    await scene.expectNoBackup()
  })

  test("with BYPASSRLS it backs up, and rows come back without owners and grants", async () => {
    const { server, scene, database, as } = await place()
    await server.psql("ALTER ROLE backups BYPASSRLS")
    await scene.json(["backup", "--jobs", "2"], as("backups"))
    const restored = await scene.run(
      ["restore", "latest", "--into", "back", "--no-owner", "--no-acl", "--jobs", "2"],
      as("master"),
    )
    expect(restored.exitCode, restored.stderr).toBe(0)
    const left = await compareDatabases({ server, name: database }, { server, name: "back" })
    expect(left.filter((line) => !/^(schema|database)/.test(line))).toEqual([])
    const ofOwners =
      /^schema: (only in the (first|second): (ALTER .* OWNER TO|GRANT|REVOKE|ALTER DEFAULT PRIVILEGES|-- )|\d+ more lines)/
    expect(left.filter((line) => line.startsWith("schema") && !ofOwners.test(line))).toEqual([])
  })
})
