import type { LeaveOut } from "../archive/plan-restore.ts"
import type { Selection } from "../archive/select-entries.ts"
import type { Connection } from "../postgres/connection.ts"
import type { LocaleChoice } from "../postgres/create-database.ts"
import type { Owners } from "../postgres/pg-restore.ts"
import type { Storage } from "../storage/storage.ts"
import type { RunFile } from "./run-file.ts"

export type RestoreOptions = RestoreChosenOptions & {
  readonly storages: readonly Storage[]
  /** As findBackup takes it. */
  readonly backup: string | Date
  readonly database: string | undefined
}

/** How to restore a backup that was chosen, and where to. */
export type RestoreChosenOptions = RestoreJobOptions & {
  /** The public keys of which one must have signed it; any backup will do where there are none. */
  readonly signedBy?: readonly string[] | undefined
  /** The target's server; its database is used where no other one can be connected to. */
  readonly connection: Connection
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
  /** The database to restore into; undefined makes a new one, named after the original. */
  readonly into: string | undefined
  /** Whether to make those of the backup's roles that the server lacks. */
  readonly createRoles: boolean
  /** How many streams at once into a new database, each with a connection; `auto` is what both sides bear. */
  readonly jobs: number | "auto"
}

/** How to restore, whatever and wherever to. */
export type RestoreJobOptions = {
  readonly identities: readonly string[]
  /** All there is, where it is undefined. */
  readonly selection: Selection | undefined
  readonly owners: Owners
  readonly grants: "keep" | "none"
  /** `none`: all lies in the database's own tablespace. */
  readonly tablespaces: "keep" | "none"
  readonly leaveOut?: LeaveOut | undefined
  /** Into a new database: foreign keys that rows violate are made, and hold for new rows alone. */
  readonly notValid?: boolean
  /** Into a new database: what functions without a search_path of their own have meanwhile, as schemas. */
  readonly searchPath?: readonly string[] | undefined
  /** Into a new database: what runs in it when all is there, before it gets its name. */
  readonly run?: RunFile | undefined
  /** Into a new database, in whose place the one of that name is dropped at the end, if it may be. */
  readonly replace?: boolean
  /** Into an existing database: drop first what is then restored. */
  readonly clean: boolean
  readonly locale: LocaleChoice
  /** Go on in spite of what is foreseen to fail. */
  readonly anyway: boolean
  /** Whether to ANALYZE what was restored, without which queries are planned badly. */
  readonly analyze: boolean
  /** Yes to all questions. */
  readonly yes: boolean
  /** Asks a person and resolves to the answer, or to undefined where no answer comes; undefined where there is nobody. */
  readonly ask: ((question: string) => Promise<string | undefined>) | undefined
}

/** What a person is asked. */
export type Questions = Pick<RestoreJobOptions, "yes" | "ask">
