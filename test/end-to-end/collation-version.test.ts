import { expect, test } from "vitest"
import { logOf } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"
import { majors, needsIcu, sharedPostgres } from "../support/shared-postgres.ts"

// The oldest is built with ICU where the newest may not be.
const [major] = majors
const missing = await needsIcu(await sharedPostgres(major))

test.skipIf(missing)(
  `a collation's version that is not the server's is a warning, once, with both versions${missing}`,
  async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql(`DROP DATABASE ${database}`)
    await server.psql(
      `CREATE DATABASE ${database} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'`,
    )
    await server.psql("CREATE TABLE t AS SELECT 'x' AS t", database)
    const now = await server.psql(`SELECT datcollversion FROM pg_database WHERE datname = '${database}'`)
    await server.psql(`UPDATE pg_database SET datcollversion = '1.0' WHERE datname = '${database}'`)
    const { exitCode, stdout, stderr } = await scene.run(["backup", "--jobs", "2", "--json"])
    expect(exitCode, stderr).toBe(0)
    const warning = `text in ${database} was sorted by version 1.0 of its collation, and the server has ${now}: indexes may miss rows until REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION`
    expect(JSON.parse(stdout)).toMatchObject({ warnings: [warning] })
    const warnings = logOf(stderr).filter(({ level }) => level === "warn")
    expect(warnings.map(({ message }) => message)).toEqual([warning])
  },
)
