import { readFile } from "node:fs/promises"
import type { PostgresServer } from "./postgres.ts"

const script = new URL("sample-database.sql", import.meta.url)

/**
 * Fills an empty database with some of everything that PostgreSQL 15 and newer can keep, the same each time but
 * for the numbers of the large objects. Makes the server's roles sample_owner, sample_reader and
 * `Sample "Writer"` where they are missing. Needs the extension pgcrypto.
 *
 * @param options.megabytes what the data takes up in a dump before compression, in 10^6 bytes; 1.4 at least
 */
export async function fillSampleDatabase(
  server: PostgresServer,
  database: string,
  { megabytes }: { readonly megabytes: number },
): Promise<void> {
  await server.psql(`\\set megabytes ${megabytes}\n${await readFile(script, "utf8")}`, database)
}
