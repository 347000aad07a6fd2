import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { type S3Endpoint, startS3Endpoint } from "./s3-endpoint.ts"

/** A place for storages, each opened empty. */
export type Storages = { open(): Storage; close(): Promise<void> }

export async function startFileStorages(): Promise<Storages> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-storages-"))
  let count = 0
  return {
    open: () => openStorage(`file://${folder}/${++count}`, { env: {} }),
    close: () => rm(folder, { recursive: true, force: true }),
  }
}

export async function startS3Storages(): Promise<Storages & { readonly endpoint: S3Endpoint }> {
  const endpoint = await startS3Endpoint({ buckets: ["backups"] })
  const env = { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey }
  let count = 0
  return {
    endpoint,
    open: () => openStorage(`s3://backups/${++count}?endpoint=${endpoint.url}&credentials=TEST`, { env }),
    close: () => endpoint.close(),
  }
}

/** Every kind of storage, for what must hold in all of them. */
export const storageKinds: readonly { readonly kind: string; readonly start: () => Promise<Storages> }[] = [
  { kind: "a directory", start: startFileStorages },
  { kind: "a bucket", start: startS3Storages },
]
