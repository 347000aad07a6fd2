// The main job, on a throw-away PostgreSQL: back up to a directory and to an S3 endpoint at once, list, verify,
// restore into a new database, and prove the two databases equal. `npm run demo` runs it.
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { bundleProgram } from "../../task/build/bundle-program.ts"
import { formatDuration } from "../../task/console/format.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { startPostgres } from "../support/postgres.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { nextSteps } from "./next-steps.ts"

const megabytes = 200
const began = performance.now()
const main = join(import.meta.dirname, "../../task/main.ts")

/** What to undo, last first, whatever happens. */
const undo: (() => Promise<unknown>)[] = []
const interruption = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort())

try {
  await demo()
} catch (error) {
  say(`\nThe demo failed: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
} finally {
  for (const step of undo.reverse()) await step()
}

async function demo(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-demo-"))
  undo.push(() => rm(folder, { recursive: true, force: true }))

  const server = await step("Starting a throw-away PostgreSQL", async () => {
    const cluster = await startPostgres()
    undo.push(() => cluster.stop())
    return cluster
  })
  say(`  PostgreSQL ${server.version}, ${server.binDir}`)

  await step(`Filling a database with ${megabytes} MB of everything that real ones hold`, async () => {
    await server.createDatabase("shop")
    await fillSampleDatabase(server, "shop", { megabytes })
  })
  const s3 = await startS3Endpoint({ folder: join(folder, "s3"), buckets: ["demo"] })
  undo.push(() => s3.close())

  const s3Storage = `s3://demo/nightly?endpoint=${s3.url}`
  const env = {
    DATABASE_URL: server.url("shop"),
    PGSTOW_PG_BIN: server.binDir,
    PGSTOW_STORAGE: `file://${folder}/backups ${s3Storage}`,
    PGSTOW_IDENTITY: join(folder, "pgstow.key"),
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
  }
  say("\n$ pgstow keygen --out pgstow.key")
  const recipient = await answerOf(["keygen", "--out", env.PGSTOW_IDENTITY, "--json"], env, "recipient")
  say(recipient)
  await pgstow(["backup", "--recipient", recipient], env)
  await pgstow(["list"], env)
  await pgstow(["verify", "latest", "--deep"], env)
  await pgstow(["restore", "latest", "--into", "shop_restored"], { ...env, PGSTOW_STORAGE: s3Storage })

  const differences = await step("Comparing both databases: schemas, rows, sequences, large objects", () =>
    compareDatabases({ server, name: "shop" }, { server, name: "shop_restored" }),
  )
  for (const difference of differences) say(`  ${difference}`)
  if (differences.length > 0) throw new Error("the restored database differs from the original")
  say("  equal")
  say(
    `\nBacked up, verified, restored from S3, compared: equal. ${formatDuration(secondsSince(began))} in all.`,
  )
  // By which npx runs it here.
  bundleProgram(join(import.meta.dirname, "../../dist/pgstow.mjs"))
  say(`\nNext, with your own database (keep pgstow.key safe: nothing else opens its backups):\n${nextSteps}`)
}

/** Says what is done, does it, and says how long it took. */
async function step<Result>(title: string, work: () => Promise<Result>): Promise<Result> {
  if (interruption.signal.aborted) throw new Error("interrupted")
  say(`\n${title} …`)
  const start = performance.now()
  const result = await work()
  say(`  done in ${formatDuration(secondsSince(start))}`)
  return result
}

/** Runs the program in front of whoever watches. */
async function pgstow(args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  say(`\n$ pgstow ${args.join(" ")}`)
  await run(args, env, "inherit")
}

/** One field of what the program says as JSON. */
async function answerOf(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  field: string,
): Promise<string> {
  const answer: unknown = JSON.parse(await run(args, env, "pipe"))
  const value: unknown = answer instanceof Object ? Reflect.get(answer, field) : undefined
  if (typeof value !== "string") throw new Error(`pgstow ${args[0]} said nothing of ${field}`)
  return value
}

async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdout: "inherit" | "pipe",
): Promise<string> {
  if (interruption.signal.aborted) throw new Error("interrupted")
  const { PATH, HOME, TERM, NO_COLOR } = process.env
  const asForPeople = process.stderr.isTTY
    ? []
    : ["--import", join(import.meta.dirname, "as-on-a-terminal.ts")]
  const child = spawn(process.execPath, [...asForPeople, main, ...args], {
    env: { PATH, HOME, ...(process.stderr.isTTY ? { TERM, NO_COLOR } : { NO_COLOR: "1" }), ...env },
    stdio: ["ignore", stdout, "inherit"],
    signal: interruption.signal,
    killSignal: "SIGTERM",
  })
  const exited = new Promise<number | null>((resolve, reject) =>
    child.once("close", resolve).once("error", reject),
  )
  const [said, exitCode] = await Promise.all([child.stdout === null ? "" : text(child.stdout), exited])
  if (exitCode !== 0) throw new Error(`pgstow ${args[0]} exited with ${exitCode}`)
  return said
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
