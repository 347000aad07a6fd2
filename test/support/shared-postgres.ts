import { afterAll, inject } from "vitest"
import { notRun } from "./not-run.ts"
import { findPostgres, oldestTested, type PostgresServer, serverAt } from "./postgres.ts"

const found = findPostgres().map(({ major }) => major)
const tested = found.some((major) => major >= oldestTested)
  ? found.filter((major) => major >= oldestTested)
  : found

/** The major versions to test against: the oldest installed that all tests know, and the newest. */
export const majors: readonly number[] = [...new Set([...tested.slice(0, 1), ...tested.slice(-1)])]

/** The newest of them alone, for what takes long: CI runs that on the oldest, too (`npm run test:oldest`). */
export const newestMajor = majors.slice(-1)

/** Why a test of an older server beside the newest can't run here, for its title. */
export const needsOlder = notRun(majors.length > 1, `PostgreSQL ${majors.at(0)} is the only one here`)

/**
 * The server of a major version that all test files of a run share, for tests that keep to databases and roles
 * of their own. It ends with the run.
 */
export async function sharedPostgres(major: number | undefined = majors.at(-1)): Promise<PostgresServer> {
  const response = await fetch(`${inject("postgresBroker")}/${major}`)
  if (!response.ok) throw new Error(await response.text())
  // The broker is ours, and answers with a server as JSON: its address without its functions.
  const server = serverAt((await response.json()) as PostgresServer)
  const { names } = made.get(server.port) ?? { names: [] as string[] }
  made.set(server.port, { server, names })
  const createDatabase: PostgresServer["createDatabase"] = async (name) => {
    const created = await server.createDatabase(name)
    if (name === undefined) names.push(created)
    return created
  }
  return { ...server, createDatabase }
}

/** The databases that this file has made, by the server's port. */
const made = new Map<number, { readonly server: PostgresServer; readonly names: string[] }>()

// What hundreds of tests leave would fill the memory that the servers are in. Restored databases have the names of
// their originals in theirs.
afterAll(async () => {
  for (const { server, names } of made.values()) {
    if (names.length === 0) continue
    await server.psql(`\\set ON_ERROR_STOP off
      SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
        WHERE datname ~ '${names.join("|")}' \\gexec`)
  }
})

/** Why a test of ICU's locales can't run on a server, for its title. */
export async function needsIcu(server: PostgresServer): Promise<string> {
  const collations = await server.psql("SELECT count(*) FROM pg_collation WHERE collname LIKE '%-x-icu'")
  return notRun(collations !== "0", `PostgreSQL ${server.version} here is built without ICU`)
}
