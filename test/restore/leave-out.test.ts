import { describe, expect, test } from "vitest"
import { setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

describe.for(newestMajor)("with PostgreSQL %i", (major) => {
  test("what is not wanted is left out with what needs it, and the rest has its name", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(
      `CREATE EXTENSION citext; CREATE FOREIGN DATA WRAPPER wrapper;
       CREATE TABLE plain (i int); INSERT INTO plain VALUES (1);
       CREATE TABLE needing (t citext); COMMENT ON TABLE needing IS 'x';
       CREATE VIEW over_that AS SELECT * FROM needing;
       CREATE SERVER far FOREIGN DATA WRAPPER wrapper;
       CREATE FOREIGN TABLE far_table (i int) SERVER far;
       CREATE MATERIALIZED VIEW empty AS SELECT 1 / (i - 1) AS n FROM plain WITH NO DATA;
       CREATE MATERIALIZED VIEW filled AS SELECT i FROM plain;
       CREATE PUBLICATION p FOR TABLE plain;
       CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
       CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()`,
      database,
    )
    await scene.json(["backup"])
    const without =
      "--skip-extension citext --no-refresh --no-publications --no-event-triggers --no-foreign-servers"
    for (const into of [`${database}_copy`, await server.createDatabase()]) {
      const result = await scene.json(["restore", "latest", "--into", into, ...without.split(" ")])
      expect(result).toMatchObject({
        state: "restored",
        leftOut: [
          "foreign table public.far_table",
          "table public.needing",
          "view public.over_that",
          "table data public.needing",
        ],
      })
      const there = `SELECT (SELECT count(*) FROM plain), (SELECT relispopulated FROM pg_class WHERE relname = 'filled'),
        (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_foreign_server)`
      expect(await server.psql(there, into)).toBe("1|f|0|0|0")
    }
  })

  test("foreign keys that rows violate are made for new rows alone, where that is asked for", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(
      `CREATE TABLE a (i int PRIMARY KEY); CREATE TABLE b (i int CONSTRAINT "To A" REFERENCES a);
       INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);
       ALTER TABLE a DISABLE TRIGGER ALL; DELETE FROM a; ALTER TABLE a ENABLE TRIGGER ALL`,
      database,
    )
    await scene.json(["backup"])
    const into = `${database}_copy`
    expect((await scene.run(["restore", "latest", "--into", into])).exitCode).toBe(9)
    const result = await scene.json(["restore", "latest", "--into", into, "--not-valid", "--yes"])
    expect(JSON.stringify(result)).toContain("Key (i)=(1) is not present")
    expect(JSON.stringify(result)).toContain('VALIDATE CONSTRAINT \\"To A\\";')
    expect(
      await server.psql("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'", into),
    ).toBe("To A|f")
    await expect(server.psql("INSERT INTO b VALUES (7)", into)).rejects.toThrow("violates foreign key")
  })
})
