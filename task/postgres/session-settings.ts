export type Settings = Readonly<Record<string, string>>

/** What switches off all that would end a session or a statement midway, but for `lock_timeout`. */
export function noTimeLimits(serverMajor: number): Settings {
  return {
    statement_timeout: "0",
    idle_in_transaction_session_timeout: "0",
    ...(serverMajor >= 14 ? { idle_session_timeout: "0" } : {}),
    ...(serverMajor >= 17 ? { transaction_timeout: "0" } : {}),
  }
}

/** What every session has from its start, whatever role, database and server have set. */
export function settingsOfEach(serverMajor: number): Settings {
  return {
    ...noTimeLimits(serverMajor),
    lock_timeout: "0",
    // A replica refuses `serializable`, and sessions that load side by side would refuse each other.
    default_transaction_isolation: "read committed",
    default_transaction_deferrable: "off",
    // A backslash is one, in every text of ours.
    standard_conforming_strings: "on",
  }
}

/** What sessions of a restore have beside that. */
export const settingsOfRestore: Settings = {
  default_transaction_read_only: "off",
  // Without it, a NULL in an array becomes the word.
  array_nulls: "on",
}

/**
 * What sessions have that fill a new database, of which nobody has any use before it gets its name: they do not wait
 * for each of their commits to reach the disk, and the one that gives the name waits for all.
 */
export const settingsOfLoading: Settings = { synchronous_commit: "off" }

/** As libpq's `options` take them. */
export function optionsOf(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, "\\$&")}`)
    .join(" ")
}
