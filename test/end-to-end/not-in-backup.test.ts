import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { newestMajor, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(newestMajor)("with PostgreSQL %i", (major) => {
  let primary: PostgresCluster
  beforeAll(async () => {
    primary = await startPostgres({ major, settings: { wal_level: "replica", max_wal_senders: "4" } })
  })
  afterAll(() => primary.stop())

  test("rows that a standby does not have are named by its backup, and by a restore", async () => {
    const database = await primary.createDatabase()
    await primary.psql(
      `CREATE UNLOGGED TABLE "Fast 1" (id serial, t text); INSERT INTO "Fast 1" (t) VALUES ('x');
       CREATE TABLE slow (id int); INSERT INTO slow VALUES (1)`,
      database,
    )
    const standby = await startPostgres({ major, primary })
    try {
      const scene = await setScene(primary)
      const from = { DATABASE_URL: standby.url(database) }
      const words = 'public."Fast 1"'
      const backup = await scene.json(["backup"], from)
      expect(backup).toMatchObject({
        warnings: [`a standby has no rows of unlogged tables, so these are not in the backup: ${words}`],
      })
      const restored = await scene.json([
        "restore",
        "latest",
        "--database",
        database,
        "--into",
        `${database}_copy`,
      ])
      expect(restored).toMatchObject({
        warnings: [`the backup, of a standby, has no rows of unlogged tables: ${words}`],
      })
      expect(await primary.psql("SELECT count(*) FROM slow", `${database}_copy`)).toBe("1")
    } finally {
      await standby.stop()
    }
  })

  test("bytes that are no text in the database's encoding are found by verify --deep", async () => {
    const server = await sharedPostgres(major)
    for (const size of [1, 3000]) {
      const scene = await setScene(server)
      const name = `${scene.database}_bytes`
      await server.psql(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`)
      await server.psql(
        `CREATE TABLE fine (t text); INSERT INTO fine VALUES ('x');
         CREATE TABLE odd (id int, t text); ALTER TABLE odd ALTER t SET STORAGE PLAIN;
         INSERT INTO odd SELECT i, repeat('x', 7000) FROM generate_series(1, ${size}) i;
         UPDATE odd SET t = E'\\xe9\\xff' WHERE id = 1;
         UPDATE pg_database SET encoding = pg_char_to_encoding('UTF8') WHERE datname = '${name}'`,
        name,
      )
      await scene.json(["backup", "--jobs", "2"], { DATABASE_URL: server.url(name) })
      const { exitCode, stdout, stderr } = await scene.run(["verify", "latest", "--deep", "--json"])
      expect(exitCode).toBe(6)
      expect(stdout + stderr).toMatch(/bytes that are no such text, first in (row \d+ of )?public\.odd/)
    }
  })
})
