import * as z from "zod"

const expectationSchema = z.strictObject({
  /** What it is called in findings; the query itself unless given. */
  name: z.string().min(1).optional(),
  /** One query. */
  sql: z.string().min(1),
  /**
   * What it gives: the value of its one row with one column, or an array of rows, each an object by the names of its
   * columns. `true` unless given.
   */
  expect: z.json().default(true),
})

export const expectationsSchema = z.array(expectationSchema)

/** A query of the user's own, and what it must give in the restored database. */
export type Expectation = z.infer<typeof expectationSchema>
