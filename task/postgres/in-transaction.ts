import type { Session } from "./session.ts"

/** Takes a step in the session, all of it or nothing. What it sets by SET LOCAL ends with it. Rejects as the step does. */
export async function inTransaction<Value>(session: Session, step: () => Promise<Value>): Promise<Value> {
  await session.execute("BEGIN READ WRITE")
  try {
    const value = await step()
    await session.execute("COMMIT")
    return value
  } catch (error) {
    // Where the session was lost, so was the transaction, and the step's error says so.
    await session.execute("ROLLBACK").catch(() => {})
    throw error
  }
}
