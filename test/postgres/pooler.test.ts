import { afterEach, expect, test } from "vitest"
import { connectionFrom } from "../../task/postgres/connection.ts"
import { refuseTransactionPooler } from "../../task/postgres/pooler.ts"
import { rejectionOf } from "../support/failure.ts"
import { needsPgbouncer, startPgbouncer } from "../support/pgbouncer.ts"
import { openTestSession } from "../support/session.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"

const clean: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

async function look(through?: "session" | "transaction") {
  const server = await sharedPostgres()
  const pooler = through && (await startPgbouncer(server, through))
  if (pooler) clean.push(() => pooler.stop())
  const connection = connectionFrom({ databaseUrl: (pooler ?? server).url("postgres") })
  const open = async () => {
    const session = await openTestSession(server, connection)
    clean.push(() => session.close())
    return session
  }
  await refuseTransactionPooler(await open(), await open())
}

test("a server that is reached directly is accepted", () => look())

test.skipIf(needsPgbouncer)(`a pooler in session mode is accepted${needsPgbouncer}`, () => look("session"))

test.skipIf(needsPgbouncer)(`a pooler in transaction mode is refused${needsPgbouncer}`, async () => {
  const error = await rejectionOf(look("transaction"))
  expect(error.kind).toBe("postgres")
  expect(error.message).toMatch(
    /^postgres on 127.0.0.1:\d+ as postgres is reached through a pooler in transaction mode/,
  )
  expect(error.hint).toContain("session mode")
})
