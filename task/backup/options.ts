import type { TablePatterns } from "../core/table-patterns.ts"
import type { SigningKey } from "../keys/signing-key.ts"
import type { Connection } from "../postgres/connection.ts"
import type { Storage } from "../storage/storage.ts"

export type BackupOptions = {
  readonly connection: Connection
  /** Folders with client programs, searched first. */
  readonly clientFolders: readonly string[]
  readonly storages: readonly Storage[]
  /** The name in the catalog; the database's own where it is undefined. */
  readonly name: string | undefined
  /** Whom the backup is sealed for, as `parseRecipients` gave them; undefined stores it unencrypted. */
  readonly recipients: readonly string[] | undefined
  /** What the manifest is signed by. */
  readonly signingKey?: SigningKey | undefined
  /** The public keys of which one must have signed the backups that it is compared with; any count where there are none. */
  readonly signedBy?: readonly string[] | undefined
  /** Which tables it holds; all, unless given. */
  readonly patterns?: TablePatterns | undefined
  /** How many streams at once, each with a connection; `auto` is what the machine and the server bear. */
  readonly jobs: number | "auto"
  /** zstd's. */
  readonly compressLevel: number
  readonly lockWaitSeconds: number
  /** Whether what was stored is read back. */
  readonly verify: boolean
  /** By how many percent a backup, or a table, must shrink for a warning. */
  readonly shrinkWarning: number
}
