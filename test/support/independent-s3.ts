// Holds pgstow's S3 storage, and with it the contract that our own endpoint is held to, against an S3 service
// that nobody here wrote: versitygw, which verifies signatures and checksums. It is built once, by Go, and kept
// in the user's cache folder.
//
// moto was tried as well: it passes all but one (it says of every upload that it began in 2010), but it believes
// any secret and any checksum, so it proves less.
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { parseCLI, startVitest } from "vitest/node"
import { type Child, startChild } from "../../task/processes/child.ts"

const version = "v1.8.0"
const startWithinMs = 10_000

const program = await installed()
const folder = await mkdtemp(join(tmpdir(), "pgstow-independent-s3-"))
const server = await start(program, folder)
try {
  const { options } = parseCLI(["vitest", ...process.argv.slice(2)])
  const vitest = await startVitest("test", [], {
    ...options,
    config: false,
    include: ["test/**/*.suite.ts"],
    watch: false,
  })
  await vitest.close()
} finally {
  server.kill("SIGTERM")
  await server.ended.catch(() => {})
  await rm(folder, { recursive: true })
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
  console.log(`building versitygw ${version} into ${cache}: some minutes, once`)
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

/** Starts the server with a bucket in it, and tells the suite of it by the environment. */
async function start(file: string, below: string): Promise<Child> {
  const port = await freePort()
  const [data, metadata] = [join(below, "data"), join(below, "metadata")]
  await mkdir(join(data, "backups"), { recursive: true })
  await mkdir(metadata)
  process.env.AWS_ACCESS_KEY_ID = "independent"
  process.env.AWS_SECRET_ACCESS_KEY = randomBytes(20).toString("hex")
  process.env.PGSTOW_TEST_S3_URL = `s3://backups?endpoint=http://127.0.0.1:${port}`
  const env = {
    ROOT_ACCESS_KEY_ID: process.env.AWS_ACCESS_KEY_ID,
    ROOT_SECRET_ACCESS_KEY: process.env.AWS_SECRET_ACCESS_KEY,
  }
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
  const child = startChild({ file, args, env })
  await Promise.race([answers(port), child.ended.then(() => Promise.reject(new Error("versitygw ended")))])
  return child
}

async function answers(port: number): Promise<void> {
  for (const startedAt = Date.now(); Date.now() - startedAt < startWithinMs; await wait(50)) {
    try {
      await fetch(`http://127.0.0.1:${port}/`)
      return
    } catch {
      // Not listening yet.
    }
  }
  throw new Error(`versitygw did not answer within ${startWithinMs / 1000} s`)
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  // A server that listens on a port has an address of this kind.
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, "close")
  return port
}
