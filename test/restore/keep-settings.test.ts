import { describe, expect, onTestFinished, test } from "vitest"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"

/** Functions that ask for settings, and say that they don't, compute columns, a partition and the key of an index. */
const schema = `
  CREATE FUNCTION day(timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS 'SELECT $1::date';
  CREATE FUNCTION words(text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS 'SELECT to_tsvector($1)';
  CREATE FUNCTION written(date) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
  CREATE FUNCTION rate() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_setting('app.rate', true) $$;
  CREATE TABLE event (id int, at timestamptz, body text,
    day date GENERATED ALWAYS AS (day(at)) STORED, words tsvector GENERATED ALWAYS AS (words(body)) STORED,
    written text GENERATED ALWAYS AS (written('2026-01-02'::date)) STORED, rate text GENERATED ALWAYS AS (rate()) STORED);
  CREATE INDEX ON event (day(at));
  CREATE TABLE of_day (at timestamptz) PARTITION BY LIST (day(at));
  CREATE TABLE of_second PARTITION OF of_day FOR VALUES IN ('2026-01-02');
  INSERT INTO event VALUES (1, '2026-01-01 20:00+00', 'die Häuser running');
  INSERT INTO of_day VALUES ('2026-01-01 20:00+00')`
const contents = "SELECT day, words, written, rate, (SELECT count(*) FROM of_second) FROM event"

describe("what functions compute from settings comes back as it was", () => {
  test("in an existing database, which is told what it lacks", async () => {
    const scene = await setScene()
    const { server, database } = scene
    const settings = {
      timezone: "'Asia/Tokyo'",
      datestyle: "'German, DMY'",
      default_text_search_config: "'pg_catalog.german'",
      "app.rate": "'5'",
    }
    for (const [name, value] of Object.entries(settings))
      await server.psql(`ALTER DATABASE ${database} SET ${name} = ${value}`)
    await server.psql(schema, database)
    await scene.json(["backup"])
    const [fresh, existing] = [`${database}_new`, await server.createDatabase("there")]
    await scene.json(["restore", "latest", "--into", fresh])
    const result = await scene.json(["restore", "latest", "--into", existing])
    const original = await server.psql(contents, database)
    expect(original).toBe("02.01.2026|'haus':2 'running':3|02.01.2026|5|1")
    expect(await server.psql(contents, fresh)).toBe(original)
    expect(await server.psql(`SET datestyle = German; ${contents}`, existing)).toContain(original)
    expect(JSON.stringify(result)).toContain("a database that exists keeps its settings")
    expect(JSON.stringify(result)).toMatch(/app\.rate.{1,3} TO '5'/)
  })

  test("in a new database of a server with others", async () => {
    const [source, target] = [
      await startPostgres({ settings: { timezone: "Asia/Tokyo" } }),
      await startPostgres({ settings: { timezone: "America/New_York" } }),
    ]
    onTestFinished(async () => {
      await source.stop()
      await target.stop()
    })
    const scene = await setScene(source)
    await source.psql(schema, scene.database)
    await scene.json(["backup"])
    await scene.json(["restore", "latest", "--into", "copy"], { DATABASE_URL: target.url("postgres") })
    expect(await target.psql(contents, "copy")).toBe(await source.psql(contents, scene.database))
  })
})

test("a database whose backslashes escape can be backed up", async () => {
  const scene = await setScene()
  await scene.server.psql(`ALTER DATABASE ${scene.database} SET standard_conforming_strings = off`)
  await scene.server.psql("CREATE TABLE t AS SELECT 1 AS n", scene.database)
  await scene.json(["backup"])
})
