import { beforeEach, describe, expect, test } from "vitest"
import { apartFindings } from "../../task/doctor/apart.ts"
import { notRun } from "../support/not-run.ts"
import { startPostgres } from "../support/postgres.ts"
import { connectionTo } from "../support/session.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"
import { makePatient, type Patient } from "./patient.ts"

describe.for(majors)("what is in a database of PostgreSQL %i", (major) => {
  let patient: Patient
  beforeEach(async () => {
    patient = await makePatient(await sharedPostgres(major))
    await patient.sql(`GRANT pg_read_all_data TO ${patient.role}`)
  })
  const deep = { deep: true }

  test("rows, indexes, keys, views and functions that are well have nothing to be told", async () => {
    await patient.sql(`
      CREATE TABLE customers (id int PRIMARY KEY, name text COLLATE "C" UNIQUE, note bytea);
      CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, CHECK (customer > 0));
      INSERT INTO customers VALUES (1, 'a', 'x'), (2, NULL, NULL); INSERT INTO orders (customer) VALUES (1), (NULL);
      CREATE FUNCTION double(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
      CREATE INDEX doubled ON orders (double(customer));
      CREATE VIEW v AS SELECT * FROM orders JOIN customers USING (id) WHERE name IN ('a', 'b')`)
    expect(await patient.examine(deep)).toEqual([])
  })

  test("a function without a search_path of its own that a check calls", async () => {
    await patient.sql(`
      CREATE SCHEMA app; CREATE TABLE app.codes (code int); INSERT INTO app.codes VALUES (1);
      SET search_path = app;
      CREATE FUNCTION is_known(int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1 IN (SELECT code FROM codes)';
      CREATE TABLE app.uses (code int CONSTRAINT known CHECK (is_known(code)))`)
    const finding = await patient.cure("content.function-paths")
    expect(finding).toMatchObject({
      severity: "warning",
      subject: "app.is_known(integer)",
      what: "the function has no search_path of its own and looks up codes, for constraint known on table app.uses",
      fix: 'ALTER FUNCTION app.is_known(integer) SET search_path = "app", pg_temp;',
    })
  })

  test("functions of triggers without a search_path of their own, in one notice, but for those that need none", async () => {
    await patient.sql(`
      CREATE SCHEMA app; CREATE TABLE app.log (note text); CREATE TABLE t (i int);
      CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (NEW.i); RETURN NEW; END';
      CREATE FUNCTION count_all() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM count(*) FROM t; RETURN NULL; END';
      CREATE FUNCTION plain() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.i := NEW.i + 1; RETURN NEW; END';
      CREATE FUNCTION unused() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (1); RETURN NEW; END';
      CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql SET search_path = app
        AS 'BEGIN INSERT INTO log VALUES (1); RETURN NEW; END';
      CREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION app.note();
      CREATE TRIGGER b AFTER INSERT ON t EXECUTE FUNCTION count_all();
      CREATE TRIGGER c BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION plain();
      CREATE TRIGGER d BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION own()`)
    const finding = await patient.cure("content.trigger-paths")
    expect(finding).toMatchObject({
      severity: "notice",
      what: "2 functions of triggers have no search_path of their own and look names up: app.note() (log), public.count_all() (t)",
      fix: 'ALTER FUNCTION app.note() SET search_path = "app", pg_temp; ALTER FUNCTION public.count_all() SET search_path = "public", pg_temp;',
    })
    expect(await patient.examine()).toEqual([])
  })

  test("operators that SQL has no place for a schema for", async () => {
    await patient.sql(`
      CREATE SCHEMA app; CREATE TYPE app.pair AS (a int, b int);
      CREATE FUNCTION app.same(app.pair, app.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
      CREATE OPERATOR app.= (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.same);
      SET search_path = app;
      CREATE TABLE public.t (a pair, b pair);
      CREATE VIEW public.v AS SELECT a IS DISTINCT FROM b AS differs FROM public.t`)
    const [finding, ...others] = await patient.examine()
    expect(others).toEqual([])
    expect(finding).toMatchObject({ check: "content.operator-paths", severity: "notice" })
    expect(finding?.what).toContain(
      "name operators of app where SQL has no place for a schema: view public.v",
    )
    await patient.sql("DROP VIEW v")
    expect(await patient.examine()).toEqual([])
  })

  test("an index that a failed CREATE INDEX CONCURRENTLY left", async () => {
    await patient.sql("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)")
    await expect(patient.sql("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)")).rejects.toThrow("duplicated")
    await patient.sql("DELETE FROM t WHERE ctid = '(0,2)'")
    const { severity, fix } = await patient.cure("content.invalid-indexes")
    expect({ severity, fix }).toEqual({ severity: "warning", fix: "REINDEX INDEX public.i;" })
  })

  test("constraints that were never validated", async () => {
    await patient.sql(`
      CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int);
      ALTER TABLE b ADD CONSTRAINT "of a" FOREIGN KEY (id) REFERENCES a NOT VALID, ADD CONSTRAINT c CHECK (id > 0) NOT VALID`)
    const { severity, fix } = await patient.cure("content.not-valid")
    expect({ severity, fix }).toEqual({
      severity: "notice",
      fix: 'ALTER TABLE public.b VALIDATE CONSTRAINT "of a"; ALTER TABLE public.b VALIDATE CONSTRAINT c;',
    })
  })

  test("subscriptions, event triggers and foreign tables", async () => {
    await patient.sql(`
      ALTER ROLE ${patient.role} SUPERUSER;
      CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 dbname=nowhere' PUBLICATION p WITH (connect = false);
      CREATE FUNCTION nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
      CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION nothing();
      CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f () SERVER far`)
    try {
      const findings = await patient.examine()
      expect(findings.map(({ check, severity }) => `${severity} ${check}`)).toEqual([
        "notice content.subscriptions",
        "notice content.event-triggers",
        "notice content.foreign-tables",
      ])
    } finally {
      await patient.sql(`
        ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s; DROP EVENT TRIGGER audit; DROP FOREIGN TABLE f`)
    }
    expect(await patient.examine()).toEqual([])
  })

  test("rows that refer to none, of tables and of partitions, are looked for with --deep alone", async () => {
    await patient.sql(`
      CREATE TABLE parents (a int, b text, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
      CREATE TABLE parents_1 PARTITION OF parents FOR VALUES IN (1); CREATE TABLE parents_2 PARTITION OF parents DEFAULT;
      INSERT INTO parents VALUES (1, 'x'), (2, 'y');
      CREATE TABLE children (a int, b varchar, FOREIGN KEY (a, b) REFERENCES parents);
      INSERT INTO children VALUES (1, 'x'), (2, 'y'), (NULL, 'z')`)
    expect(await patient.examine(deep)).toEqual([])
    await patient.sql(
      "SET session_replication_role = replica; INSERT INTO children VALUES (3, 'x'), (4, 'x')",
    )
    expect(await patient.examine()).toEqual([])
    const { severity, what } = await patient.cure("content.orphans", deep)
    expect({ severity, what }).toEqual({
      severity: "warning",
      what: "2 rows refer to none of public.parents, against the foreign key children_a_b_fkey",
    })
    expect(await patient.sql("SELECT count(*) FROM children")).toBe("3")
  })

  test("rows that a unique index says to be one, and is wrong", async () => {
    await patient.sql(`
      CREATE TABLE t (a int, b text); CREATE UNIQUE INDEX i ON t (a, b); INSERT INTO t VALUES (1, 'x'), (NULL, 'x'), (NULL, 'x')`)
    expect(await patient.examine(deep)).toEqual([])
    await patient.sql("UPDATE pg_index SET indisready = false WHERE indexrelid = 'i'::regclass")
    await patient.sql("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    await patient.sql("UPDATE pg_index SET indisready = true WHERE indexrelid = 'i'::regclass")
    const { what } = await patient.cure("content.duplicates", deep)
    expect(what).toBe("1 key of the unique index public.i stand in several rows")
    expect(await patient.sql("SELECT count(*) FROM t")).toBe("4")
  })

  const noVersions = notRun(major >= 15, "a database has no version of its collation before 15")
  test.skipIf(noVersions)(`versions of collations that are no longer the server's${noVersions}`, async () => {
    await patient.sql(`CREATE COLLATION own (provider = libc, locale = 'C.UTF-8')`)
    await patient.sql(`CREATE TABLE t (name text COLLATE own)`)
    const [version] = (await patient.sql("SELECT pg_collation_actual_version('own'::regcollation)")).split(
      "\n",
    )
    if (!version) return expect(await patient.examine()).toEqual([])
    await patient.sql("UPDATE pg_collation SET collversion = '0.1' WHERE collname = 'own'")
    const { fix } = await patient.cure("content.collation-version")
    expect(fix).toBe(`REINDEX DATABASE ${patient.database}; ALTER COLLATION public.own REFRESH VERSION;`)
  })

  test("unlogged tables on a replica", async () => {
    const primary = await startPostgres({
      major,
      settings: { wal_level: "replica", max_wal_senders: "10", autovacuum: "off" },
    })
    try {
      await primary.psql("CREATE UNLOGGED TABLE cache (id int)")
      const replica = await startPostgres({ major, primary, settings: { hot_standby_feedback: "on" } })
      try {
        const connection = connectionTo(replica)
        const examine = () => patient.examine({ connection, clientFolders: [replica.binDir] })
        const [finding, ...others] = await examine()
        expect(others).toEqual([])
        expect(finding).toMatchObject({
          check: "content.unlogged",
          severity: "warning",
          fix: "ALTER TABLE public.cache SET LOGGED;",
        })
        await primary.psql(finding?.fix ?? "")
        await expect.poll(examine, { timeout: 20_000 }).toEqual([])
      } finally {
        await replica.stop()
      }
    } finally {
      await primary.stop()
    }
  })
})

test("extensions with rules of their own are named, and no others", () => {
  const nothing = { isInRecovery: false, subscriptions: 0, eventTriggers: [], foreignTables: 0, unlogged: [] }
  const extensions = ["citext", "pg_cron", "postgis", "timescaledb"]
  expect(apartFindings({ ...nothing, extensions }, "orders")).toMatchObject([
    {
      check: "content.extensions",
      severity: "notice",
      what: "pg_cron, timescaledb have rules of their own for restores",
    },
  ])
  expect(apartFindings({ ...nothing, extensions: ["citext", "postgis"] }, "orders")).toEqual([])
})
