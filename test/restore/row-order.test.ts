import { beforeAll, describe, expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { runPgstow } from "../support/pgstow.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"

/** What looks into tables that come later by name, as rows and keys are made. */
const schema = `
  CREATE TABLE z_rate (code int PRIMARY KEY, pct int);
  INSERT INTO z_rate SELECT i, i FROM generate_series(0, 9) i;
  CREATE FUNCTION pct(c int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN (SELECT pct FROM public.z_rate WHERE code = c); END';
  CREATE FUNCTION known(c int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN EXISTS (SELECT FROM public.z_rate WHERE code = c); END';
  CREATE DOMAIN known_code AS int CHECK (known(VALUE));

  CREATE TABLE indexed (id int, code int);
  INSERT INTO indexed SELECT i, i % 10 FROM generate_series(1, 100) i;
  CREATE INDEX indexed_pct ON indexed (pct(code));
  CREATE INDEX indexed_where ON indexed (id) WHERE known(code);
  CREATE TABLE excluded (code int, EXCLUDE USING btree (pct(code) WITH =));
  INSERT INTO excluded VALUES (1), (2);

  CREATE TABLE a_checked (code int CHECK (known(code)));
  INSERT INTO a_checked VALUES (1), (9);
  CREATE TABLE a_domain (codes known_code[]);
  INSERT INTO a_domain VALUES ('{1,2}');
  CREATE TABLE a_parted (code int) PARTITION BY LIST (pct(code));
  CREATE TABLE a_part PARTITION OF a_parted FOR VALUES IN (3);
  INSERT INTO a_parted VALUES (3);

  CREATE TABLE c_computed (code int, pct int GENERATED ALWAYS AS (pct(code)) STORED);
  INSERT INTO c_computed (code) SELECT generate_series(0, 9);
  CREATE FUNCTION twice(c int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN (SELECT 2 * pct FROM public.c_computed WHERE code = c); END';
  CREATE TABLE a_computed (code int, pct int GENERATED ALWAYS AS (twice(code)) STORED);
  INSERT INTO a_computed (code) SELECT generate_series(0, 9);

  CREATE TABLE big (id int, code int, pct int GENERATED ALWAYS AS (pct(code)) STORED, t text);
  ALTER TABLE big ALTER t SET STORAGE PLAIN;
  INSERT INTO big (id, code, t) SELECT i, i % 10, repeat('x', 7000) FROM generate_series(1, 3000) i;
  CREATE INDEX big_pct ON big (pct(code));
  CREATE TABLE z_big (id int, t text);
  ALTER TABLE z_big ALTER t SET STORAGE PLAIN;
  INSERT INTO z_big SELECT i, repeat('x', 7000) FROM generate_series(1, 3000) i;
  ALTER TABLE z_big ADD PRIMARY KEY (id)`

/** Refused at first, and by nothing that the archive tells beforehand. */
const hidden = `
  CREATE TABLE z_fact (n int);
  INSERT INTO z_fact VALUES (1);
  CREATE MATERIALIZED VIEW facts AS SELECT n FROM z_fact;
  CREATE MATERIALIZED VIEW all_facts AS SELECT n FROM facts;
  CREATE FUNCTION of_facts(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN EXISTS (SELECT FROM public.all_facts WHERE n = i); END';
  CREATE TABLE a_fact (n int CHECK (of_facts(n)));
  CREATE TABLE a_log (n int);
  CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO public.a_log VALUES (NEW.n); RETURN NEW; END';
  INSERT INTO a_fact VALUES (1);
  CREATE TRIGGER log AFTER INSERT ON a_fact FOR EACH ROW EXECUTE FUNCTION log();
  CREATE TABLE to_fact (n int);
  CREATE UNIQUE INDEX ON a_fact (n);
  INSERT INTO to_fact VALUES (1);
  ALTER TABLE to_fact ADD FOREIGN KEY (n) REFERENCES a_fact (n);
  CREATE INDEX of_facts ON to_fact (of_facts(n));
  CREATE FUNCTION facts(i int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT count(*) FROM public.z_fact WHERE n = i';
  CREATE TABLE a_inlined (n int, c bigint GENERATED ALWAYS AS (facts(n)) STORED);
  INSERT INTO a_inlined VALUES (1)`

describe.for(majors)("with PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })
  const withRows = async (sql: string): Promise<Scene> => {
    const scene = await setScene(server)
    await server.psql(sql, scene.database)
    return scene
  }
  const differences = (scene: Scene, name: string) =>
    compareDatabases({ server, name: scene.database }, { server, name })
  const byIndex = (name: string, sql: string) => server.psql(`SET enable_seqscan = off; ${sql}`, name)

  test.for(["1", "2"])(
    "rows and keys that read other tables come when these are filled, in %s streams",
    async (jobs) => {
      const scene = await withRows(schema)
      const into = `${scene.database}_copy`
      await scene.json(["backup", "--jobs", jobs])
      await scene.json(["restore", "latest", "--into", into, "--jobs", "2"])
      expect(await differences(scene, into)).toEqual([])
      expect(await byIndex(into, "SELECT count(*) FROM indexed WHERE pct(code) = 3")).toBe("10")
      expect(await byIndex(into, "SELECT count(*) FROM indexed WHERE known(code) AND id > 0")).toBe("100")
      expect(await byIndex(into, "SELECT count(*) FROM big WHERE pct(code) = 3")).toBe("300")
      const computed = "SELECT string_agg(pct::text, ',' ORDER BY code) FROM a_computed"
      expect(await server.psql(computed, into)).toBe("0,2,4,6,8,10,12,14,16,18")
    },
  )

  test("so do they in an existing database", async () => {
    const scene = await withRows(schema)
    const into = await server.createDatabase()
    await scene.json(["backup", "--jobs", "2"])
    await scene.json(["restore", "latest", "--into", into, "--yes"])
    expect(await differences(scene, into)).toEqual([])
    expect(await byIndex(into, "SELECT count(*) FROM big WHERE pct(code) = 3")).toBe("300")
    await server.psql("TRUNCATE c_computed", into)
    await scene.json(["restore", "latest", "--into", into, "--yes", "--clean"])
    expect(await differences(scene, into)).toEqual([])
  })

  test("what is refused is tried again when more is there, and no trigger sees it", async () => {
    const scene = await withRows(hidden)
    const into = `${scene.database}_copy`
    await scene.json(["backup"])
    await scene.json(["restore", "latest", "--into", into, "--jobs", "2"])
    expect(await differences(scene, into)).toEqual([])
    expect(await server.psql("SELECT count(*) FROM a_log", into)).toBe("0")
    expect(await byIndex(into, "SELECT n FROM to_fact WHERE of_facts(n)")).toBe("1")
  })

  test("what stays refused is said once, with the row and what to do", async () => {
    const scene = await withRows(`
      CREATE TABLE t (n int);
      CREATE FUNCTION few(i int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT i < 3 OR EXISTS (SELECT FROM public.t WHERE n > 99)';
      CREATE TABLE refused (n int CHECK (few(n)));
      INSERT INTO refused VALUES (1), (2);
      INSERT INTO t VALUES (100); INSERT INTO refused VALUES (7); DELETE FROM t`)
    await scene.json(["backup"])
    const into = `${scene.database}_copy`
    const { exitCode, stdout } = await runPgstow(["restore", "latest", "--into", into, "--json"], scene.env)
    expect(exitCode).toBe(9)
    expect(JSON.parse(stdout)).toMatchObject({
      errors: [{ class: "constraint-violated", count: 1, examples: [{ message: /refused_n_check/ }] }],
    })
  })
})
