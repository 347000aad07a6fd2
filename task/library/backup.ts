import * as z from "zod"
import { type BackupResult, backup as backUp, backupFailure } from "../backup/back-up.ts"
import { PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { parseRecipients } from "../keys/recipients.ts"
import { loadSigningKey } from "../keys/signing-key.ts"
import { connectionFrom } from "../postgres/connection.ts"
import { onStorages, type StorageOptions, storageShape } from "./on-storages.ts"
import { jobs, readOptions, text, wholeNumber } from "./read-options.ts"
import { unlessFailed } from "./result-error.ts"

export type BackupOptions = StorageOptions & {
  /** The database, as libpq reads it: `postgresql://user:password@host/database`, or `keyword=value` pairs. */
  readonly connection: string
  /** The public keys to seal the backup for: `age1…`. Either these or `unencrypted`. */
  readonly recipients?: readonly string[] | undefined
  /** Stores the backup so that anyone can read it. @default false */
  readonly unencrypted?: boolean | undefined
  /** The name to keep it under. @default the database's own */
  readonly name?: string | undefined
  /** What signs it: a file, `secretsmanager:` and a secret's ARN, or the key itself. @default it is not signed */
  readonly signingKey?: string | undefined
  /** Only these tables, by patterns as pg_dump has them. @default all */
  readonly tables?: readonly string[] | undefined
  /** Only these schemas. @default all */
  readonly schemas?: readonly string[] | undefined
  /** But not these tables. @default none */
  readonly excludeTables?: readonly string[] | undefined
  /** But not these schemas. @default none */
  readonly excludeSchemas?: readonly string[] | undefined
  /** Of these tables the definitions, and no rows. @default none */
  readonly excludeTableData?: readonly string[] | undefined
  /** How many streams at once, each with a connection. @default "auto": what the machine and the server bear */
  readonly jobs?: number | "auto" | undefined
  /** zstd's, 1 to 19. @default 1 */
  readonly compressLevel?: number | undefined
  /** Gives up when a table stays locked for so many seconds. @default 60 */
  readonly lockWaitSeconds?: number | undefined
  /** Whether what was stored is read back. @default true */
  readonly verify?: boolean | undefined
  /** By how many percent it must have shrunk since the last ones for a warning. @default 50 */
  readonly shrinkWarningPercent?: number | undefined
  /** Folders with PostgreSQL's client programs, searched first. @default where the program looks by itself */
  readonly clientFolders?: readonly string[] | undefined
}

const patterns = z.array(text).default([])

const schema = z.strictObject({
  ...storageShape,
  connection: text,
  recipients: z.array(text).min(1, "must name a public key").optional(),
  unencrypted: z.boolean().default(false),
  name: text.optional(),
  signingKey: text.optional(),
  tables: patterns,
  schemas: patterns,
  excludeTables: patterns,
  excludeSchemas: patterns,
  excludeTableData: patterns,
  jobs,
  compressLevel: wholeNumber(1, 19).default(1),
  lockWaitSeconds: wholeNumber(1, 86_400).default(60),
  verify: z.boolean().default(true),
  shrinkWarningPercent: wholeNumber(1, 100).default(50),
  clientFolders: patterns,
})

/**
 * Backs up one database into every storage, in one pass over its data, and reads it back. What it holds less of than
 * expected is in the result's `warnings`.
 *
 * Rejects with a PgstowError, and with a ResultError where the backup is good in some storages and not in others.
 */
export async function backup(options: BackupOptions): Promise<BackupResult> {
  const read = readOptions("backup", schema, options)
  const recipients = recipientsOf(read)
  return onStorages(read, async ({ storages, signedBy, context }) => {
    const { connection, signingKey, jobs, compressLevel, lockWaitSeconds, verify, clientFolders, name } = read
    const { tables, schemas, excludeTables, excludeSchemas, excludeTableData } = read
    const result = await backUp(
      {
        connection: connectionFrom({ databaseUrl: connection, env: context.env }),
        clientFolders,
        storages,
        name,
        recipients,
        signingKey:
          signingKey === undefined
            ? undefined
            : await loadSigningKey(signingKey, { readSecret: readAwsSecret, warn: context.log.warn }),
        signedBy,
        patterns: { tables, schemas, excludeTables, excludeSchemas, excludeTableData },
        jobs,
        compressLevel,
        lockWaitSeconds,
        verify,
        shrinkWarning: read.shrinkWarningPercent,
      },
      context,
    )
    return unlessFailed(result, backupFailure(result))
  })
}

function recipientsOf({ recipients, unencrypted }: z.output<typeof schema>): string[] | undefined {
  if ((recipients === undefined) === unencrypted) return recipients && parseRecipients(recipients)
  throw new PgstowError(
    "usage",
    unencrypted
      ? "the options recipients and unencrypted of backup contradict each other"
      : "the option recipients of backup is missing",
    { hint: "Give either `recipients`, public keys as `pgstow keygen` prints them, or `unencrypted: true`." },
  )
}
