import * as z from "zod"
import type { Session } from "./session.ts"

/** The databases that managed services keep for themselves. */
const ofProviders = ["rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys", "alloydbadmin"]

/** The databases of the session's server that its user may connect to: no templates, and none of a provider's own. */
export async function readDatabaseNames(session: Session): Promise<string[]> {
  const rows = await session.query(`
    SELECT datname AS name FROM pg_catalog.pg_database
     WHERE datallowconn AND NOT datistemplate AND pg_catalog.has_database_privilege(oid, 'CONNECT')
     ORDER BY datname`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
    .filter((name) => !ofProviders.includes(name))
}
