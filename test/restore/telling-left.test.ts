import { expect, test } from "vitest"
import { PgstowError } from "../../task/errors.ts"
import { type Left, tellingLeft } from "../../task/restore/name-what-is-left.ts"

/** The failure of a restore that fails so with that left. */
async function failureWith(left: Left | undefined, error: Error, signal = new AbortController().signal) {
  const work = async (leaves: (left: Left | undefined) => void) => {
    leaves({ database: "made", holds: "part" })
    leaves(left)
    throw error
  }
  return tellingLeft(signal, work).catch((failure: unknown) => failure)
}

const dropsIt: unknown = expect.stringContaining('(DROP DATABASE "r" WITH (FORCE);).')
const refused = new PgstowError("storage", "the storage went away", { hint: "Mount it again." })

test("what a restore that fails has left is told with the statement that drops it", async () => {
  expect(await failureWith({ database: 'an"odd', holds: "part" }, refused)).toMatchObject({
    kind: "storage",
    message: "the storage went away",
    hint: `Mount it again. The database an"odd holds what was restored so far: do not use it, and drop it (DROP DATABASE "an""odd" WITH (FORCE);).`,
  })
  expect(await failureWith({ database: "r", holds: "all" }, refused)).toMatchObject({
    hint: 'Mount it again. The database r holds all that was restored: use it as it is, or drop it (DROP DATABASE "r";).',
  })
})

test("a database that nobody knows to be there is dropped if it is", async () => {
  expect(await failureWith({ database: "r", holds: "perhaps" }, refused)).toMatchObject({
    hint: 'Mount it again. The database r may be there, empty: drop it (DROP DATABASE IF EXISTS "r" WITH (FORCE);).',
  })
})

test("nothing is told of what is gone", async () => {
  expect(await failureWith(undefined, refused)).toBe(refused)
})

test("a signal goes before what it made fail, and what is unexpected stays so", async () => {
  const stopped = new PgstowError("terminated", "stopped by SIGTERM")
  expect(
    await failureWith({ database: "r", holds: "part" }, refused, AbortSignal.abort(stopped)),
  ).toMatchObject({
    kind: "terminated",
    message: "stopped by SIGTERM",
    hint: dropsIt,
  })
  const cause = new TypeError("no such thing")
  expect(await failureWith({ database: "r", holds: "part" }, cause)).toMatchObject({
    kind: "unexpected",
    cause,
    hint: dropsIt,
  })
})
