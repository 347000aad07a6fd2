import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { gatherStatistics } from "../../task/postgres/gather-statistics.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

/** A database whose ANALYZE takes for ever. */
async function slowDatabase() {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  await server.psql(
    `CREATE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN i; END';
     CREATE TABLE t AS SELECT generate_series(1, 1000) AS i;
     CREATE INDEX ON t (slow(i));
     CREATE OR REPLACE FUNCTION slow(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql
       AS 'BEGIN PERFORM pg_sleep(60); RETURN i; END'`,
    database,
  )
  const running = `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND query ~ '^ANALYZE'`
  const begun = async () => {
    while ((await server.psql(running)) === "") await sleep(20)
  }
  return { server, database, running, begun }
}

test("a lost connection is a warning", async () => {
  const { server, database, running, begun } = await slowDatabase()
  const connect = () => openTestSession(server, connectionTo(server, database))
  const gathering = gatherStatistics(connect, [], new AbortController().signal)
  await begun()
  await server.psql(`SELECT pg_terminate_backend(pid) FROM (${running}) AS running`)
  expect(await gathering).toEqual([
    expect.stringMatching(
      /^could not gather statistics, so run ANALYZE: lost the connection to .*: terminating/,
    ),
  ])
})

test("an interruption is none", async () => {
  const { server, database, begun } = await slowDatabase()
  const interruption = new AbortController()
  const { signal } = interruption
  const connect = () => openTestSession(server, connectionTo(server, database), { signal })
  const gathering = gatherStatistics(connect, [], signal)
  await begun()
  const reason = new Error("enough")
  interruption.abort(reason)
  await expect(gathering).rejects.toBe(reason)
})
