import { readFile } from "node:fs/promises"
import type { PostgresServer } from "./postgres.ts"

const roles = new URL("sample-roles.sql", import.meta.url)
const script = new URL("sample-database.sql", import.meta.url)

/**
 * Fills an empty database with some of everything that its PostgreSQL can keep, the same each time but for the
 * numbers of the large objects. Makes the server's roles sample_owner, sample_reader and `Sample "Writer"` where they
 * are missing. Goes without XML, the extension pgcrypto and what came after PostgreSQL 13, where the server does.
 *
 * @param options.megabytes what the data takes up in a dump before compression, in 10^6 bytes; 1.4 at least
 */
export async function fillSampleDatabase(
  server: PostgresServer,
  database: string,
  { megabytes }: { readonly megabytes: number },
): Promise<void> {
  const [before, sql] = await Promise.all([readFile(roles, "utf8"), readFile(script, "utf8")])
  await server.psql(`${before}\\set megabytes ${megabytes}\n${sql}`, database)
}

/** Makes the roles that the sample database names, where they are missing: a restore on another server needs them. */
export async function makeSampleRoles(server: PostgresServer): Promise<void> {
  await server.psql(await readFile(roles, "utf8"))
}
