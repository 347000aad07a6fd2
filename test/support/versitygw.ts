import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { setTimeout as wait } from "node:timers/promises"
import { freePort } from "./postgres.ts"

const version = "v1.8.0"
const startWithinMs = 20_000

/** An S3 service that nobody here wrote, which verifies signatures and checksums: https://github.com/versity/versitygw */
export type Versitygw = {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** The folder in which the bucket's objects are files, by their keys. */
  readonly bucketFolder: string
  stop(): Promise<void>
}

/**
 * Starts it on a free loopback port, with one bucket. It is built once, by Go, and kept in the user's cache folder.
 *
 * @param folder where it keeps what it has; an empty one
 * @param bucket the bucket's name
 */
export async function startVersitygw(folder: string, bucket: string): Promise<Versitygw> {
  const program = await installed()
  const port = await freePort()
  const [data, metadata] = [join(folder, "data"), join(folder, "metadata")]
  const bucketFolder = join(data, bucket)
  await mkdir(bucketFolder, { recursive: true })
  await mkdir(metadata)
  const [accessKeyId, secretAccessKey] = ["independent", randomBytes(20).toString("hex")]
  const args = [
    "--port",
    `127.0.0.1:${port}`,
    "--quiet",
    "--keep-alive",
    "posix",
    "--sidecar",
    metadata,
    data,
  ]
  const child = spawn(program, args, {
    env: { ROOT_ACCESS_KEY_ID: accessKeyId, ROOT_SECRET_ACCESS_KEY: secretAccessKey },
    stdio: ["ignore", "ignore", "pipe"],
  })
  const words = text(child.stderr)
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()))
  const stop = async () => {
    child.kill("SIGTERM")
    await ended
  }
  const url = `http://127.0.0.1:${port}`
  try {
    await Promise.race([
      answers(url),
      ended.then(async () => Promise.reject(new Error(`versitygw ended: ${await words}`))),
    ])
  } catch (error) {
    await stop()
    throw error
  }
  return { url, accessKeyId, secretAccessKey, bucketFolder, stop }
}

/** The program, from the cache folder, where it is put first if it is not there yet. */
async function installed(): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pgstow")
  const path = join(cache, `versitygw-${version}`)
  const isThere = await access(path).then(
    () => true,
    () => false,
  )
  if (isThere) return path
  console.error(`building versitygw ${version} into ${cache}: some minutes, once`)
  await mkdir(cache, { recursive: true })
  const building = await mkdtemp(join(cache, "building-"))
  try {
    execFileSync("go", ["install", `github.com/versity/versitygw/cmd/versitygw@${version}`], {
      env: { ...process.env, GOBIN: building, CGO_ENABLED: "0" },
      stdio: ["ignore", "inherit", "inherit"],
    })
    await rename(join(building, "versitygw"), path)
  } catch (cause) {
    throw new Error("versitygw was not built; it needs Go 1.26 or later (https://go.dev/dl)", { cause })
  } finally {
    await rm(building, { recursive: true })
  }
  return path
}

async function answers(url: string): Promise<void> {
  for (const startedAt = Date.now(); Date.now() - startedAt < startWithinMs; await wait(50)) {
    try {
      await fetch(url)
      return
    } catch {
      // Not listening yet.
    }
  }
  throw new Error(`versitygw did not answer within ${startWithinMs / 1000} s`)
}
