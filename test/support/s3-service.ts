import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { setTimeout as wait } from "node:timers/promises"
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3"

const startWithinMs = 60_000

/** An S3 service that nobody here wrote, while it runs. */
export type S3Service = {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  stop(): Promise<void>
}

export type S3Program = {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a service's program and waits until it answers at `url`. */
export async function startS3Program(
  name: string,
  url: string,
  program: S3Program,
): Promise<() => Promise<void>> {
  const child = spawn(program.file, program.args, {
    env: { PATH: process.env.PATH, ...program.env },
    stdio: ["ignore", "ignore", "pipe"],
  })
  const words = text(child.stderr)
  const ended = new Promise<void>((resolve) => {
    child.once("exit", () => resolve())
    child.once("error", () => resolve())
  })
  const stop = async () => {
    child.kill("SIGTERM")
    await ended
  }
  try {
    const died = ended.then(async () => Promise.reject(new Error(`${name} ended: ${await words}`)))
    await Promise.race([answers(name, url), died])
  } catch (error) {
    await stop()
    throw error
  }
  return stop
}

/** Keys that nobody else has. */
export function newKeys(): { readonly accessKeyId: string; readonly secretAccessKey: string } {
  return { accessKeyId: "independent", secretAccessKey: randomBytes(20).toString("hex") }
}

export async function createBucket(
  service: Pick<S3Service, "url" | "accessKeyId" | "secretAccessKey">,
  Bucket: string,
): Promise<void> {
  const { url: endpoint, accessKeyId, secretAccessKey } = service
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials })
  await client.send(new CreateBucketCommand({ Bucket }))
  client.destroy()
}

/**
 * The path of a file in the user's cache folder. Where it is not there yet, `make` is called with an empty folder to put
 * it into, under the same name.
 */
export async function cached(name: string, make: (folder: string) => void): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pgstow")
  const path = join(cache, name)
  const isThere = await access(path).then(
    () => true,
    () => false,
  )
  if (isThere) return path
  console.error(`bringing ${name} into ${cache}, once`)
  await mkdir(cache, { recursive: true })
  // A server of packages may fail for a moment.
  for (let attempt = 1; ; attempt++) {
    const folder = await mkdtemp(join(cache, "building-"))
    try {
      make(folder)
      await rename(join(folder, name), path)
      return path
    } catch (error) {
      if (attempt === 3) throw error
      await wait(5_000)
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

async function answers(name: string, url: string): Promise<void> {
  for (const startedAt = Date.now(); Date.now() - startedAt < startWithinMs; await wait(50)) {
    try {
      await fetch(url)
      return
    } catch {
      // Not listening yet.
    }
  }
  throw new Error(`${name} did not answer within ${startWithinMs / 1000} s`)
}
