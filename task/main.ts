#!/usr/bin/env node
import { setFlagsFromString } from "node:v8"
import { run } from "./cli/run.ts"
import { codeOf, exitCodes, makeReadable, PgstowError } from "./errors.ts"
import { killChildren } from "./processes/child.ts"
import { readNetwork, useNetwork } from "./processes/network.ts"

/** How long after a signal the program may take to end its children and uploads, in milliseconds. */
const endWithinMs = 9_000

// Buffers that nobody needs any more wait in V8's young generation to be freed. Where that grows by itself, so does
// what waits there, to a hundred megabytes and more.
setFlagsFromString("--semi-space-growth-factor=1")
// What is in buffers counts with the heap, which is so small that V8 would clean up all of it every ten megabytes: a
// seventh of a backup's CPU time. So the heap may grow to five times what was left of it the last time.
setFlagsFromString("--heap-growing-percent=400")

/** Reads settings from the working directory. Gives what is wrong with the file that is there. */
function loadEnvFile(): PgstowError | undefined {
  try {
    process.loadEnvFile(".env")
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined
    const what = "the settings in .env can't be read"
    // Of a folder Node complains in words of its own.
    if (cause instanceof TypeError)
      return new PgstowError("usage", `${what}: it is no file`, { hint: makeReadable })
    return new PgstowError("usage", what, { cause, hint: makeReadable })
  }
  return undefined
}

/** Makes notifications go by the proxies that the environment names. Gives what is wrong with these. */
function connectAsSet(): PgstowError | undefined {
  try {
    useNetwork(readNetwork(process.env))
  } catch (error) {
    if (error instanceof PgstowError) return error
    throw error
  }
  return undefined
}

const problem = loadEnvFile() ?? connectAsSet()

const interruption = new AbortController()
let hasEnded = false
for (const [signal, kind] of [
  ["SIGINT", "interrupted"],
  ["SIGTERM", "terminated"],
] as const) {
  const endNow = () => {
    killChildren()
    // By the signal itself: process.exit() waits for every thread, and one may be reading from a disk that is gone.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
    // The first process of a container does not die of a signal.
    process.exit(exitCodes[kind])
  }
  process.on(signal, () => {
    // After a second one nothing is waited for; after the end, nor after a first.
    if (interruption.signal.aborted || hasEnded) return endNow()
    const hint = "Run it again when you like: it starts from the beginning."
    interruption.abort(new PgstowError(kind, `stopped by ${signal}`, { hint }))
    setTimeout(endNow, endWithinMs).unref()
  })
}

// Where it can't be written to, nobody can be told.
process.stderr.on("error", () => {})

// Where an error that nothing catches ends it.
process.once("exit", killChildren)

// No `await` at the top: an older Node could not even read the bundle, to say that it is too old.
void run(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interruption.signal,
  now: () => new Date(),
  problem,
}).then((exitCode) => {
  process.exitCode = exitCode
  hasEnded = true
})
