import { execFileSync } from "node:child_process"
import { renameSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { freePort } from "./postgres.ts"
import { cached, newKeys, type S3Service, startS3Program } from "./s3-service.ts"

const version = "v1.8.0"

/** An S3 service that nobody here wrote, which verifies signatures and checksums: https://github.com/versity/versitygw */
export type Versitygw = S3Service & {
  /** The folder in which the bucket's objects are files, by their keys. */
  readonly bucketFolder: string
}

/**
 * Starts it on a free loopback port, with one bucket. It is built once, by Go, and kept in the user's cache folder.
 *
 * @param folder where it keeps what it has; an empty one
 * @param bucket the bucket's name
 */
export async function startVersitygw(folder: string, bucket: string): Promise<Versitygw> {
  const file = await versitygwProgram()
  const port = await freePort()
  const [data, metadata] = [join(folder, "data"), join(folder, "metadata")]
  const bucketFolder = join(data, bucket)
  await mkdir(bucketFolder, { recursive: true })
  await mkdir(metadata)
  const keys = newKeys()
  const url = `http://127.0.0.1:${port}`
  const address = ["--port", `127.0.0.1:${port}`]
  const stop = await startS3Program("versitygw", url, {
    file,
    args: [...address, "--quiet", "--keep-alive", "posix", "--sidecar", metadata, data],
    env: { ROOT_ACCESS_KEY_ID: keys.accessKeyId, ROOT_SECRET_ACCESS_KEY: keys.secretAccessKey },
  })
  return { url, ...keys, bucketFolder, stop }
}

/** The program, which is built on the first call. */
export function versitygwProgram(): Promise<string> {
  return cached(`versitygw-${version}`, build)
}

function build(folder: string): void {
  try {
    goInstall(`github.com/versity/versitygw/cmd/versitygw@${version}`, folder)
    renameSync(join(folder, "versitygw"), join(folder, `versitygw-${version}`))
  } catch (cause) {
    throw new Error("versitygw was not built; it needs Go 1.26 or later (https://go.dev/dl)", { cause })
  }
}

/** Builds a program of a Go module into a folder, which takes minutes. */
export function goInstall(program: string, folder: string): void {
  execFileSync("go", ["install", program], {
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: "0" },
    stdio: ["ignore", "inherit", "inherit"],
  })
}
