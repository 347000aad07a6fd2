import { expect, test } from "vitest"
import { inTransaction } from "../../task/postgres/in-transaction.ts"
import { connectionTo, openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

const searchPath = "SELECT current_setting('search_path') AS path"

test("a step keeps what it did, and what it set is as before", async () => {
  const server = await sharedPostgres()
  const database = await server.createDatabase()
  const session = await openTestSession(server, connectionTo(server, database))
  const before = await session.query(searchPath)
  const during = await inTransaction(session, async () => {
    await session.execute("SET LOCAL search_path TO ''")
    await session.execute("CREATE TABLE public.kept ()")
    return session.query(searchPath)
  })
  expect(during).toEqual([{ path: '""' }])
  expect(await session.query(searchPath)).toEqual(before)

  const refused = inTransaction(session, async () => {
    await session.execute("SET LOCAL search_path TO ''")
    await session.execute("CREATE TABLE public.undone ()")
    await session.execute("CREATE TABLE public.kept ()")
  })
  await expect(refused).rejects.toThrow('relation "kept" already exists')
  expect(await session.query(searchPath)).toEqual(before)
  expect(await session.query("SELECT to_regclass('kept') AS kept, to_regclass('undone') AS undone")).toEqual([
    { kept: "kept", undone: null },
  ])
  await session.close()
})
