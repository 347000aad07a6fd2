import { execFileSync } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { notRun } from "../support/not-run.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

const locales = mkdtempSync(join(tmpdir(), "pgstow-locales-"))
chmodSync(locales, 0o755)
afterAll(() => rmSync(locales, { recursive: true }))

/** Yen have no digits after the point; Colombia's point stands between thousands. */
function makeLocales(): boolean {
  try {
    for (const name of ["en_US", "ja_JP", "es_CO"])
      execFileSync("localedef", ["-i", name, "-f", "UTF-8", join(locales, `${name}.UTF-8`)], {
        stdio: "ignore",
      })
    return true
  } catch {
    return false
  }
}

const schema = `
  CREATE DOMAIN price AS money;
  CREATE TYPE item AS (what text, price price);
  CREATE TABLE m (id int, amount money, prices price[], item item, least money DEFAULT 0.01::numeric::money);
  INSERT INTO m VALUES (1, 1234.56, '{1.50}', '(x,2.25)');
  CREATE TABLE big (amount money, t text);
  ALTER TABLE big ALTER t SET STORAGE PLAIN;
  INSERT INTO big SELECT 234.56, repeat('x', 7000) FROM generate_series(1, 3000)`
const amounts =
  "SELECT amount::numeric, prices[1]::money::numeric, (item).price::money::numeric, (SELECT min(amount::numeric) FROM big) FROM m"

const why = notRun(makeLocales(), "localedef has no sources of locales here")
describe.skipIf(why !== "")(`amounts of type money${why}`, () => {
  const servers: PostgresCluster[] = []
  const start = async (locale: string): Promise<PostgresCluster> => {
    process.env.LOCPATH = locales
    try {
      const server = await startPostgres({ major: majors[0], settings: { lc_monetary: `${locale}.UTF-8` } })
      servers.push(server)
      return server
    } finally {
      delete process.env.LOCPATH
    }
  }
  let scene: Scene
  let source: PostgresCluster
  beforeAll(async () => {
    source = await start("en_US")
  })
  afterAll(() => Promise.all(servers.map((server) => server.stop())))
  const backUp = async () => {
    scene = await setScene(source)
    await source.psql(schema, scene.database)
    await scene.json(["backup", "--jobs", "2"])
  }

  test.for(["es_CO", "ja_JP"])("are the same on a server whose lc_monetary is %s", async (locale) => {
    await backUp()
    const server = await start(locale)
    const to = { DATABASE_URL: server.url("postgres") }
    const result = await scene.json(["restore", "latest", "--into", "copy"], to)
    expect(await server.psql(amounts, "copy")).toBe("1234.56|1.50|2.25|234.56")
    expect(
      await server.psql("INSERT INTO m (id) VALUES (2); SELECT least::numeric FROM m WHERE id = 2", "copy"),
    ).toBe("0.01")
    const warning = /lc_monetary \(ja_JP\.UTF-8\) would change amounts/
    expect(JSON.stringify(result).match(warning) !== null).toBe(locale === "ja_JP")

    await server.createDatabase("there")
    const { exitCode, stderr } = await scene.run(["restore", "latest", "--into", "there", "--yes"], to)
    expect(exitCode).toBe(locale === "ja_JP" ? 3 : 0)
    if (locale === "ja_JP") expect(stderr).toContain("lc_monetary is ja_JP.UTF-8 there: 0 digits")
    else expect(await server.psql(amounts, "there")).toBe("1234.56|1.50|2.25|234.56")
  })
})
