import type { FailureKind } from "../errors.ts"

/** What each exit code says, a sentence each. */
export const exitMeanings: Readonly<Record<FailureKind, string>> = {
  unexpected: "An unexpected failure.",
  usage: "A flag, a setting or an argument is wrong.",
  postgres:
    "The PostgreSQL server, or a program (pg_dump, psql, zstd), was not reached, refused, or failed midway.",
  storage: "A storage was not reached, refused, is full, or failed midway.",
  partial: "The backup is complete in some storages and failed in others.",
  damaged: "What is stored is not what the manifest says, or a drill failed.",
  key: "A key is missing or wrong.",
  notFound: "There is no such backup, or none at all.",
  restoreErrors: "The restore ran to its end, and PostgreSQL refused some of it.",
  notConfirmed: "Nothing was done: it was not confirmed.",
  overdue: "The newest verified backup is older than the limit.",
  clock:
    "A clock is wrong: a backup is dated in the future, or a storage's clock differs from this machine's.",
  signature: "A backup is not signed by a key that was asked for, or was changed since.",
  warnings: "The doctor found no error, but a warning.",
  interrupted: "Stopped by SIGINT.",
  terminated: "Stopped by SIGTERM.",
}
