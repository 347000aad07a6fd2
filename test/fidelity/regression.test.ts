import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { drillOf, setDrillScene } from "../support/drill-scene.ts"
import { notRun } from "../support/not-run.ts"
import { findPostgres, startPostgres } from "../support/postgres.ts"
import { run } from "../support/programs.ts"
import { regressFolder } from "./regress-folder.ts"
import { runRegress } from "./run-regress.ts"

const installed = findPostgres().map(({ major }) => major)
const has = (major: number) => installed.includes(major) && existsSync(regressFolder(major))
const newest = [18, 17].find(has) ?? 18

describe.for([15, newest])("the database that PostgreSQL %i's own regression tests leave", (major) => {
  const missing = notRun(has(major), `PostgreSQL ${major}, or its tests, can't be had here`)

  test.skipIf(missing)(`comes back as with pg_dump and pg_restore${missing}`, async () => {
    const server = await startPostgres({ major, settings: { max_prepared_transactions: "2" } })
    onTestFinished(() => server.stop())
    const scene = await setDrillScene(server)
    expect(await runRegress(server, "regression")).toBeGreaterThan(150)
    const tables =
      "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^pg_|^information_schema'"
    expect(Number(await server.psql(tables, "regression"))).toBeGreaterThan(500)

    const env = { DATABASE_URL: server.url("regression") }
    await scene.json(["backup", "--jobs", "2"], env)
    await scene.json(["restore", "latest", "--into", "restored", "--jobs", "2"], env)

    const dump = join(scene.folder, "dump")
    const connected = (database: string) => [
      "-d",
      `host=${server.socketDir} port=${server.port} user=postgres dbname=${database}`,
    ]
    run(join(server.binDir, "pg_dump"), [...connected("regression"), "-Fc", "-Z0", "-f", dump])
    await server.psql("ALTER DATABASE regression RENAME TO original")
    run(join(server.binDir, "pg_restore"), [...connected("postgres"), "--create", dump])

    const [stock, restored] = ["regression", "restored"].map((name) => ({ server, name }))
    expect(stock && restored && (await compareDatabases(stock, restored))).toEqual([])
    expect(await drillOf(scene, [], 0, { PGSTOW_TARGET: server.url("postgres") })).toMatchObject({
      kind: "drilled",
      problems: [],
    })
  })
})
