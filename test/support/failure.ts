import { PgstowError } from "../../task/errors.ts"

/** The PgstowError that `action` throws. Anything else fails the test. */
export function failureOf(action: () => unknown): PgstowError {
  try {
    action()
  } catch (error) {
    if (error instanceof PgstowError) return error
    throw error
  }
  throw new Error("it did not throw")
}

/** The PgstowError that `promise` rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<PgstowError> {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome.status === "fulfilled") throw new Error("it did not reject")
  return failureOf(() => {
    throw outcome.reason
  })
}
