import { inject } from "vitest"
import { findPostgres, type PostgresServer, serverAt } from "./postgres.ts"

/** The major versions to test against: the oldest installed and the newest. */
export const majors: readonly number[] = [
  ...new Set([findPostgres().at(0)?.major, findPostgres().at(-1)?.major]),
].filter((major) => major !== undefined)

/**
 * The server of a major version that all test files of a run share, for tests that keep to databases and roles
 * of their own. It ends with the run.
 */
export async function sharedPostgres(major: number | undefined = majors.at(-1)): Promise<PostgresServer> {
  const response = await fetch(`${inject("postgresBroker")}/${major}`)
  if (!response.ok) throw new Error(await response.text())
  // The broker is ours, and answers with a server as JSON: its address without its functions.
  return serverAt((await response.json()) as PostgresServer)
}
