import * as z from "zod"
import { type ListResult, list as listBackups, listFailure } from "../catalog/list.ts"
import { onStorages, type StorageOptions, storageShape } from "./on-storages.ts"
import { readOptions, text } from "./read-options.ts"
import { unlessFailed } from "./result-error.ts"

export type ListOptions = StorageOptions & {
  /** Whose backups. @default those of all */
  readonly database?: string | undefined
}

const schema = z.strictObject({ ...storageShape, database: text.optional() })

/**
 * The catalog: what backups the storages hold, newest first, each with what was last found of it.
 *
 * Rejects with a PgstowError of kind "notFound" where there is none, and with a ResultError where a storage could not be
 * listed while others were.
 */
export async function list(options: ListOptions): Promise<ListResult> {
  const read = readOptions("list", schema, options)
  const { database } = read
  return onStorages(read, async ({ storages, signedBy, context }) => {
    const result = await listBackups(storages, { database, signedBy, warn: context.log.warn })
    return unlessFailed(result, listFailure(result))
  })
}
