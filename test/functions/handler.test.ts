import { beforeEach, expect, it } from "vitest"
import * as z from "zod"
import { lambdaHandler } from "../../functions/handler.ts"
import { PgstowError } from "../../task/errors.ts"
import { lambdaContext } from "./aws-endpoint.ts"

const event = z.object({ database: z.string() })
const settings = z.object({ storage: z.string() })

beforeEach(() => {
  process.env.PGSTOW_SETTINGS = JSON.stringify({ storage: "file:///backups" })
})

it("the function gets its event and its settings, checked, and its result is the answer", async () => {
  const handler = lambdaHandler(event, settings, async ({ database }, { settings: { storage } }) => ({
    database,
    storage,
  }))
  expect(await handler({ database: "orders" }, lambdaContext)).toEqual({
    database: "orders",
    storage: "file:///backups",
  })
})

it("a wrong event, and wrong settings, are refused by name before anything runs", async () => {
  let ran = false
  const handler = lambdaHandler(event, settings, async () => {
    ran = true
  })
  await expect(handler({}, lambdaContext)).rejects.toThrow(/the event is refused.*\n?.*database/s)
  process.env.PGSTOW_SETTINGS = "{}"
  await expect(handler({ database: "orders" }, lambdaContext)).rejects.toThrow(/PGSTOW_SETTINGS is refused/)
  expect(ran).toBe(false)
})

it("what fails fails the invocation, with its cause and its hint in one message", async () => {
  const handler = lambdaHandler(event, settings, () =>
    Promise.reject(
      new PgstowError("storage", "cannot read it", {
        cause: new Error("refused"),
        hint: "Check the bucket's policy.",
      }),
    ),
  )
  await expect(handler({ database: "orders" }, lambdaContext)).rejects.toThrow(
    "cannot read it: refused. Check the bucket's policy.",
  )
})

it("the signal ends the work before Lambda ends the function", async () => {
  const handler = lambdaHandler(event, settings, async (_, { signal }) => signal.aborted)
  const late = { ...lambdaContext, getRemainingTimeInMillis: () => 5_000 }
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await handler({ database: "orders" }, lambdaContext)).toBe(false)
  const waiting = lambdaHandler(
    event,
    settings,
    (_, { signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve("told"))),
  )
  expect(await waiting({ database: "orders" }, late)).toBe("told")
})
