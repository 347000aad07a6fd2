/** The settings that switch off what would end a long transaction, but for `lock_timeout`. */
export function noTimeLimits(serverMajor: number): Readonly<Record<string, number>> {
  return {
    statement_timeout: 0,
    idle_in_transaction_session_timeout: 0,
    ...(serverMajor >= 17 ? { transaction_timeout: 0 } : {}),
  }
}
