import * as z from "zod"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { loadIdentities } from "../keys/identity.ts"
import { connectionFrom } from "../postgres/connection.ts"
import { restore as restoreBackup } from "../restore/restore.ts"
import { type RestoreResult, restoreFailure } from "../restore/result.ts"
import { onStorages, type StorageOptions, storageShape } from "./on-storages.ts"
import { jobs, readOptions, text } from "./read-options.ts"
import { unlessFailed } from "./result-error.ts"

export type RestoreOptions = StorageOptions & {
  /** A server to restore into, as libpq reads it: `postgresql://user:password@host/postgres`. */
  readonly connection: string
  /** The private key: a file, `secretsmanager:` and a secret's ARN, or the identity itself. @default none */
  readonly identity?: string | undefined
  /** An id, the beginning of one, "latest", or the time whose state is wanted. @default "latest" */
  readonly backup?: string | Date | undefined
  /** Whose backup; needed where the storages have those of several. @default the only one */
  readonly database?: string | undefined
  /** The database to restore into. @default a new one, named after the original */
  readonly into?: string | undefined
  /** Goes on where the program would ask: where `into` exists and is not empty. @default false: it rejects */
  readonly yes?: boolean | undefined
  /** Drops what is restored from an existing database first. @default false */
  readonly clean?: boolean | undefined
  /** Goes on in spite of what is foreseen to fail. @default false: it rejects, and says what */
  readonly anyway?: boolean | undefined
  /** Only these tables, with what belongs to them. @default all */
  readonly tables?: readonly string[] | undefined
  /** Only these schemas. @default all */
  readonly schemas?: readonly string[] | undefined
  /** Whether everything keeps its owner, rather than to belong to who restores. @default true */
  readonly owners?: boolean | undefined
  /** Whether grants are restored. @default true */
  readonly grants?: boolean | undefined
  /** Whether roles that the server lacks are made first, without passwords. @default false */
  readonly createRoles?: boolean | undefined
  /** How many streams at once into a new database. @default "auto": what both sides bear */
  readonly jobs?: number | "auto" | undefined
  /** Whether to gather the planner's statistics. @default true */
  readonly analyze?: boolean | undefined
  /** Folders with PostgreSQL's client programs, searched first. @default where the program looks by itself */
  readonly clientFolders?: readonly string[] | undefined
}

const no = z.boolean().default(false)
const yes = z.boolean().default(true)
const names = z.array(text).default([])

const schema = z.strictObject({
  ...storageShape,
  connection: text,
  identity: text.optional(),
  backup: z.union([text, z.date()], "must be a text or a Date").default("latest"),
  database: text.optional(),
  into: text.optional(),
  yes: no,
  clean: no,
  anyway: no,
  tables: names,
  schemas: names,
  owners: yes,
  grants: yes,
  createRoles: no,
  jobs,
  analyze: yes,
  clientFolders: names,
})

/**
 * Restores a backup, or some of it, into a new database or one that exists. A new one has the name `incomplete_…` until all
 * of it is there; into an existing one it is one transaction.
 *
 * Rejects with a PgstowError where nothing was restored, and with a ResultError where PostgreSQL refused some of it, or it
 * failed midway.
 */
export async function restore(options: RestoreOptions): Promise<RestoreResult> {
  const read = readOptions("restore", schema, options)
  return onStorages(read, async ({ storages, signedBy, context }) => {
    const { connection, identity, tables, schemas } = read
    const { backup, database, into, yes, clean, anyway, createRoles, jobs, analyze, clientFolders } = read
    const result = await restoreBackup(
      {
        storages,
        signedBy,
        backup,
        database,
        into,
        yes,
        clean,
        anyway,
        createRoles,
        jobs,
        analyze,
        connection: connectionFrom({ databaseUrl: connection, env: context.env }),
        clientFolders,
        identities:
          identity === undefined
            ? []
            : await loadIdentities(identity, { readSecret: readAwsSecret, warn: context.log.warn }),
        selection: tables.length + schemas.length > 0 ? { tables, schemas } : undefined,
        owners: read.owners ? "keep" : "none",
        grants: read.grants ? "keep" : "none",
        tablespaces: "keep",
        locale: "original",
        ask: undefined,
      },
      context,
    )
    return unlessFailed(result, restoreFailure(result))
  })
}
