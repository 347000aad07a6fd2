import { expect, test } from "vitest"
import * as z from "zod"
import type { Session } from "../../task/postgres/session.ts"
import { openTarget } from "../../task/postgres/target.ts"
import { renameDatabase } from "../../task/postgres/target-database.ts"
import { clientsOf, connectionTo } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

async function pidOf(session: Session): Promise<number> {
  const rows = await session.query("SELECT pg_backend_pid() AS pid")
  return z.tuple([z.object({ pid: z.int() })]).parse(rows)[0].pid
}

async function setTarget(signal?: AbortSignal) {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  const target = await openTarget(clientsOf(server), connectionTo(server), database, { env: {}, signal })
  const lose = async (pid: number) => server.psql(`SELECT pg_terminate_backend(${pid}, 10000)`)
  return { server, database, target, lose }
}

test("who asks inside twice gets the same session, after its loss another, and none stays after leave", async () => {
  const { server, database, target, lose } = await setTarget()
  const first = await pidOf(await target.inside(database))
  expect(await pidOf(await target.inside(database))).toBe(first)
  await lose(first)
  expect(await pidOf(await target.inside(database))).not.toBe(first)

  await target.leave()
  await renameDatabase(await target.outside(), database, `${database}_renamed`)
  expect(
    await (await target.inside(`${database}_renamed`)).query("SELECT current_database() AS name"),
  ).toEqual([{ name: `${database}_renamed` }])
  await target.close()
  const left = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}_renamed'`
  await expect.poll(() => server.psql(left)).toBe("0")
})

test("the session outside is with another database, and is another one after its loss", async () => {
  const { database, target, lose } = await setTarget()
  const session = await target.outside()
  expect(await session.query("SELECT current_database() AS name")).toEqual([{ name: "postgres" }])
  expect(await target.outside()).toBe(session)
  const pid = await pidOf(session)
  await lose(pid)
  const another = await target.outside()
  expect(await pidOf(another)).not.toBe(pid)
  await renameDatabase(another, database, `${database}_renamed`)
  await target.close()
})

test("after an interruption there is no other session", async () => {
  const interruption = new AbortController()
  const { database, target } = await setTarget(interruption.signal)
  await target.inside(database)
  const reason = new Error("enough")
  interruption.abort(reason)
  await expect(target.inside(database)).rejects.toBe(reason)
  await expect(target.outside()).rejects.toBe(reason)
  await target.close()
})
