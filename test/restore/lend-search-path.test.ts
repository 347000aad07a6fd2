import { describe, expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** Functions that look names up without a schema, from a check, an index, a generated column and a view. */
const schema = `
  CREATE SCHEMA app;
  CREATE TABLE app.codes (code int PRIMARY KEY, rate int);
  INSERT INTO app.codes SELECT n, 2 * n FROM generate_series(1, 100) AS n;
  SET search_path = app, public;
  CREATE FUNCTION helper(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT rate FROM codes WHERE code = $1';
  CREATE FUNCTION known(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN RETURN EXISTS (SELECT FROM codes WHERE code = $1) AND helper($1) > 0; END';
  CREATE FUNCTION own(int) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = app AS 'SELECT rate FROM codes WHERE code = $1';
  CREATE TABLE app.orders (id int PRIMARY KEY, code int CHECK (known(code)),
    rate int GENERATED ALWAYS AS (helper(code)) STORED);
  INSERT INTO orders (id, code) SELECT n, n FROM generate_series(1, 100) AS n;
  CREATE INDEX ON orders (own(code))`

/** From 17 on these are refused wherever they are made. */
const untilSixteen = `
  SET search_path = app, public;
  CREATE INDEX ON orders (known(code));
  CREATE MATERIALIZED VIEW app.seen AS SELECT id, helper(code) AS rate FROM orders WHERE known(code)`

describe.for(majors)("functions without a search_path of their own, with PostgreSQL %i", (major) => {
  test("find what they look up where a restore is given one, and have none afterwards", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(schema, database)
    if (major < 17) await server.psql(untilSixteen, database)
    await scene.json(["backup", "--jobs", "2"])
    const without = await scene.run(["restore", "latest", "--into", `${database} without`])
    expect(failureOfRun(without).kind).toBe("restoreErrors")
    await scene.json([
      "restore",
      "latest",
      "--into",
      `${database} with`,
      "--search-path",
      "app, public",
      "--jobs",
      "2",
    ])
    expect(await compareDatabases({ server, name: database }, { server, name: `${database} with` })).toEqual(
      [],
    )
  })

  test("are given none in an existing database", async () => {
    const scene = await setScene(major)
    await scene.json(["backup"])
    const into = await scene.server.createDatabase()
    for (const [flag, ...value] of [["--search-path", "app"], ["--not-valid"], ["--locale", "default"]]) {
      const refused = await scene.run(["restore", "latest", "--into", into, flag ?? "", ...value])
      const { kind, message } = failureOfRun(refused)
      expect([kind, message]).toEqual(["usage", `${flag} is for a new database, and ${into} exists`])
    }
  })
})
