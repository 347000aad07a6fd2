import * as z from "zod"

/** JSON whose numbers are what was written: an integer from 2^53 on may be the one beside it when it has been read. */
const exactJson = z.json().superRefine((value, context) => {
  if (holdsInexact(value))
    context.addIssue({
      code: "custom",
      message: "a number is too large to be compared exactly: compare it in the query, which then gives true",
    })
})

function holdsInexact(value: z.core.util.JSONType): boolean {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value)
  if (value === null || typeof value !== "object") return false
  return Object.values(value).some(holdsInexact)
}

const expectationSchema = z.strictObject({
  /** What it is called in findings; the query itself unless given. */
  name: z.string().min(1).optional(),
  /** One query. */
  sql: z.string().min(1),
  /**
   * What it gives: the value of its one row with one column, or an array of rows, each an object by the names of its
   * columns. `true` unless given.
   */
  expect: exactJson.default(true),
})

export const expectationsSchema = z.array(expectationSchema)

/** A query of the user's own, and what it must give in the restored database. */
export type Expectation = z.infer<typeof expectationSchema>
