import { describe, expect, test } from "vitest"
import { setScene } from "../support/scene.ts"
import { newestMajor } from "../support/shared-postgres.ts"

describe.for(newestMajor)("with PostgreSQL %i", (major) => {
  test.for(["1", "2"])("tables whose names are no UTF-8 come back, in %s streams", async (jobs) => {
    const scene = await setScene(major)
    const { server } = scene
    const name = `${scene.database}_ascii`
    await server.psql(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`)
    await server.psql(
      `SET client_encoding = SQL_ASCII;
       DO $$ BEGIN
         EXECUTE E'CREATE TABLE "t\\xe9\\xff" (id int, "c\\xe9" text)';
         EXECUTE E'ALTER TABLE "t\\xe9\\xff" ALTER "c\\xe9" SET STORAGE PLAIN';
         EXECUTE E'INSERT INTO "t\\xe9\\xff" SELECT g, repeat(E''\\xe9\\xff'', 3500) FROM generate_series(1, 3000) g';
       END $$;
       CREATE TABLE plain (t text); INSERT INTO plain VALUES (E'\\xe9')`,
      name,
    )
    const from = { DATABASE_URL: server.url(name) }
    await scene.json(["backup", "--jobs", jobs], from)
    await scene.json(["restore", "latest", "--into", `${name}_copy`], from)
    const counted = `SET client_encoding = SQL_ASCII;
      DO $$ DECLARE n int; BEGIN EXECUTE E'SELECT count(*) FROM "t\\xe9\\xff" WHERE octet_length("c\\xe9") = 7000' INTO n; ASSERT n = 3000; END $$;
      SELECT octet_length(t) FROM plain`
    expect(await server.psql(counted, `${name}_copy`)).toBe("1")
  })
})
