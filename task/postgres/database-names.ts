import * as z from "zod"
import type { Session } from "./session.ts"

/** The databases that managed services keep for themselves. */
const ofProviders = ["rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys", "alloydbadmin"]

/**
 * The databases of the session's server: no templates, and none of a provider's own. One that the user may not connect
 * to is among them, so that whoever wants all of them hears of it.
 */
export async function readDatabaseNames(session: Session): Promise<string[]> {
  const rows = await session.query(`
    SELECT datname AS name FROM pg_catalog.pg_database
     WHERE NOT datistemplate ORDER BY datname`)
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name)
    .filter((name) => !ofProviders.includes(name))
}
