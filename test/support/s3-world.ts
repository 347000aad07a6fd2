import { openStorage } from "../../task/storage/open-storage.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { type Inject, type S3Endpoint, type S3EndpointOptions, startS3Endpoint } from "./s3-endpoint.ts"

export type OpenOptions = {
  /** By default the folder "root" of the bucket "backups". */
  readonly bucket?: string
  /** More of the URL: "&name=value". */
  readonly parameters?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutSeconds?: number
  readonly signal?: AbortSignal
}

/** An S3 endpoint of its own with the bucket "backups", and storages in it. */
export type S3World = AsyncDisposable & {
  readonly endpoint: S3Endpoint
  /** Opened without options. */
  readonly storage: Storage
  /** Opens a storage there. */
  open(options?: OpenOptions): Storage
  /** How many requests there have been of an operation. */
  countOf(operation: string): number
}

/** @param options of the endpoint */
export async function startS3World(options: S3EndpointOptions = {}): Promise<S3World> {
  const endpoint = await startS3Endpoint({ buckets: ["backups"], ...options })
  const keys = { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey }
  const opened: Storage[] = []
  const open = ({ bucket = "backups/root", parameters = "", env, ...options }: OpenOptions = {}) => {
    const url = `s3://${bucket}?endpoint=${endpoint.url}&credentials=TEST${parameters}`
    const storage = openStorage(url, { ...options, env: { ...keys, ...env } })
    opened.push(storage)
    return storage
  }
  return {
    endpoint,
    storage: open(),
    open,
    countOf: (operation) => endpoint.requests.filter((request) => request.operation === operation).length,
    [Symbol.asyncDispose]: async () => {
      for (const storage of opened) storage.close()
      await endpoint.close()
    },
  }
}

/** Does to the first `times` requests of an operation what `fault` says, and nothing to the others. */
export function first(times: number, operation: string, fault: ReturnType<Inject>): Inject {
  let left = times
  return (request) => (request.operation === operation && left-- > 0 ? fault : undefined)
}
