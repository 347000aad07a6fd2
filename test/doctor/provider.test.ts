import { afterAll, beforeAll, expect, test } from "vitest"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { makePatient } from "./patient.ts"

// Roles of services are the server's, and would be found by other tests.
let server: PostgresCluster
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const role = (name: string) => [`CREATE ROLE ${name}`, `DROP ROLE ${name}`] as const
const setting = (name: string) =>
  [`ALTER DATABASE :"DBNAME" SET ${name} = 'x'`, `ALTER DATABASE :"DBNAME" RESET ${name}`] as const

test.for([
  [
    "Amazon Aurora",
    "CREATE FUNCTION pg_catalog.aurora_version() RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    "DROP FUNCTION pg_catalog.aurora_version()",
  ],
  ["Amazon RDS", ...role("rdsadmin")],
  ["Amazon RDS", ...setting("rds.extensions")],
  ["Google Cloud SQL", ...role("cloudsqlsuperuser")],
  ["Azure Database for PostgreSQL", ...role("azure_pg_admin")],
  ["Azure Database for PostgreSQL", ...setting("azure.extensions")],
  ["Neon", ...role("neon_superuser")],
  ["Supabase", ...role("supabase_admin")],
  ["Heroku Postgres", ...setting("extwlist.extensions")],
  ["Crunchy Postgres for Kubernetes", ...role("_crunchypgbouncer")],
] as const)("%s, told by %s", async ([name, sign, without]) => {
  const { sql, examine } = await makePatient(server)
  expect(await examine()).toEqual([])
  await sql(sign)
  const [finding, ...others] = await examine()
  expect(others).toEqual([])
  expect(finding).toMatchObject({
    check: "provider.known",
    severity: "notice",
    what: `the server is of ${name}`,
  })
  await sql(without)
  expect(await examine()).toEqual([])
})
