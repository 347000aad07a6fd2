import { describe, expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { notRun } from "../support/not-run.ts"
import { setScene } from "../support/scene.ts"
import { newestMajor, sharedPostgres } from "../support/shared-postgres.ts"

describe.for(newestMajor)("tablespaces, with PostgreSQL %i", (major) => {
  const why = notRun(major >= 15, "a tablespace takes a folder of its own before PostgreSQL 15")
  test.skipIf(why !== "")(`that the target lacks cost a warning, and no rows${why}`, async () => {
    const server = await sharedPostgres(major)
    const scene = await setScene(server)
    const space = `${scene.database}_fast`
    await server.psql(`SET allow_in_place_tablespaces = on; CREATE TABLESPACE ${space} LOCATION ''`)
    await server.psql(
      `CREATE TABLE t (i int PRIMARY KEY USING INDEX TABLESPACE ${space}) TABLESPACE ${space};
       INSERT INTO t SELECT generate_series(1, 10)`,
      scene.database,
    )
    await scene.json(["backup"])
    const into = (name: string) => `${scene.database}_${name}`
    const spaces = (name: string) =>
      server.psql("SELECT count(*) FROM pg_class WHERE oid >= 16384 AND reltablespace <> 0", name)
    expect(await scene.json(["restore", "latest", "--into", into("same")])).toMatchObject({ warnings: [] })
    expect(await spaces(into("same"))).toBe("2")
    expect(await scene.json(["restore", "latest", "--into", into("none"), "--no-tablespaces"])).toMatchObject(
      { warnings: [] },
    )
    expect(await spaces(into("none"))).toBe("0")

    await server.psql(
      "ALTER TABLE t SET TABLESPACE pg_default; ALTER INDEX t_pkey SET TABLESPACE pg_default",
      scene.database,
    )
    await server.psql(`DROP DATABASE ${into("same")}`)
    await server.psql(`DROP TABLESPACE ${space}`)
    expect(await scene.json(["restore", "latest", "--into", into("copy")])).toMatchObject({
      warnings: [`the target lacks the tablespace ${space}, so all lies in the database's own`],
    })
    expect(await compareDatabases({ server, name: scene.database }, { server, name: into("copy") })).toEqual(
      [],
    )
    const there = await server.createDatabase()
    await scene.json(["restore", "latest", "--into", there])
    expect(await server.psql("SELECT count(*) FROM t", there)).toBe("10")
  })
})
