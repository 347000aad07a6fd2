import * as z from "zod"
import { PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { loadIdentities } from "../keys/identity.ts"
import { type VerifyResult, verifyCopies, verifyFailure } from "../verify/verify.ts"
import { onStorages, type StorageOptions, storageShape } from "./on-storages.ts"
import { readOptions, text } from "./read-options.ts"
import { unlessFailed } from "./result-error.ts"

export type VerifyOptions = StorageOptions & {
  /** An id, the beginning of one, "latest", or the time whose state is meant. @default "latest" */
  readonly backup?: string | Date | undefined
  /** Whose backup; needed where the storages have those of several. @default the only one */
  readonly database?: string | undefined
  /** Whether to decrypt and read all of it to its end, too. @default false: checksums alone, which need no key */
  readonly deep?: boolean | undefined
  /** With `deep`, the private key: a file, `secretsmanager:` and a secret's ARN, or the identity itself. @default none */
  readonly identity?: string | undefined
  /** With `deep`, folders with PostgreSQL's client programs, searched first. @default where the program looks by itself */
  readonly clientFolders?: readonly string[] | undefined
}

const schema = z.strictObject({
  ...storageShape,
  backup: z.union([text, z.date()], "must be a text or a Date").default("latest"),
  database: text.optional(),
  deep: z.boolean().default(false),
  identity: text.optional(),
  clientFolders: z.array(text).default([]),
})

/**
 * Reads every copy of a backup again, checks it against its manifest, and records what was found beside it. Resolves with a
 * result for each copy.
 *
 * Rejects with a PgstowError where nothing could be found out, and with a ResultError where a copy is damaged, or could not
 * be read.
 */
export async function verify(options: VerifyOptions): Promise<readonly VerifyResult[]> {
  const read = readOptions("verify", schema, options)
  const { backup, database, deep, identity, clientFolders } = read
  if (identity !== undefined && !deep)
    throw new PgstowError("usage", "the option identity of verify is of no use without deep", {
      hint: "Give `deep: true` to read what the backup holds, or leave `identity` out.",
    })
  return onStorages(read, async ({ storages, signedBy, context }) => {
    const identities =
      identity === undefined
        ? []
        : await loadIdentities(identity, { readSecret: readAwsSecret, warn: context.log.warn })
    const choice = { backup, database, signedBy, deep: deep ? { identities, clientFolders } : undefined }
    const copies = await verifyCopies(storages, choice, context)
    return unlessFailed(copies.results, verifyFailure(copies))
  })
}
