import { onTestFinished } from "vitest"
import type { S3Endpoint } from "./s3-endpoint.ts"
import { startS3World } from "./s3-world.ts"
import { keysOf } from "./storage-contents.ts"

/** A bucket in an S3 endpoint of its own. */
export type Bucket = {
  readonly endpoint: S3Endpoint
  /** The URL of a folder in it. */
  readonly storage: string
  /** What the program needs to reach it. */
  readonly env: Readonly<Record<string, string>>
  /** What is in the folder now. Ends what the endpoint was told to do wrong. */
  keys(): Promise<string[]>
}

/** Makes a bucket that goes when the test ends. */
export async function setBucket(): Promise<Bucket> {
  const { endpoint, storage, [Symbol.asyncDispose]: close } = await startS3World()
  onTestFinished(close)
  return {
    endpoint,
    storage: `s3://backups/root?endpoint=${endpoint.url}&credentials=TEST`,
    env: { TEST_ACCESS_KEY: endpoint.accessKeyId, TEST_SECRET_KEY: endpoint.secretAccessKey },
    keys: () => {
      endpoint.inject()
      return keysOf(storage)
    },
  }
}
