import { globSync } from "node:fs"
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { bundleProgram } from "../../task/build/bundle-program.ts"
import { exitCodes } from "../../task/errors.ts"
import { type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { createBucket } from "../support/s3-service.ts"
import { startVersitygw, type Versitygw } from "../support/versitygw.ts"
import { type Ended, type RunOptions, runProgram } from "./program.ts"

/** What all campaigns share. */
export type Bed = AsyncDisposable & {
  /** The program, in one file. */
  readonly program: string
  readonly identity: string
  readonly recipient: string
  /** A new folder, which goes with the bed. */
  newFolder(name: string): Promise<string>
  /** A server that no campaign may kill, started when it is first asked for. */
  server(): Promise<PostgresCluster>
  /** An S3 service that is not ours, which campaigns share, with a bucket of this name, which each has for itself. */
  s3(bucket: string): Promise<Versitygw>
  /** Says that `secret` must never be seen in what the program writes. */
  guard(secret: string): void
  /**
   * Runs the program, and throws where it does what it never may, whatever is done to it: hang, leave a process
   * behind, write a secret or what a terminal obeys, or end in a way that the exit codes do not tell.
   */
  run(args: readonly string[], options: BedRunOptions): Promise<Ended>
  /** The same, and throws unless it ends well. Gives what it says with --json. */
  json(args: readonly string[], options: BedRunOptions): Promise<unknown>
}

export type BedRunOptions = Omit<RunOptions, "cwd"> & {
  readonly cwd?: string
  /** By how much its clock is wrong, as libfaketime reads it: "+72h". */
  readonly clock?: string | undefined
  /** It may end by a signal, which somebody sent to it. */
  readonly mayBeKilled?: boolean
}

const [libfaketime] = globSync("/usr/lib/*/faketime/libfaketime.so.1")

/** Why what needs a wrong clock can't run here; undefined where it can. */
export const noWrongClock = libfaketime === undefined ? "libfaketime is not installed" : undefined

const documentedCodes: readonly number[] = [0, ...Object.values(exitCodes)].filter(
  (code) => code !== exitCodes.unexpected,
)

/**
 * Sets up what costs little; servers start when they are first asked for.
 *
 * @param options.program a bundle of the program; this checkout's, made now, without it
 */
export async function makeBed(options: { readonly program?: string | undefined } = {}): Promise<Bed> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-faults-"))
  // The servers' user may go through it.
  await chmod(folder, 0o711)
  const undo = new AsyncDisposableStack()
  undo.defer(() => rm(folder, { recursive: true, force: true }))
  const program = options.program ?? join(folder, "pgstow.mjs")
  const work = join(folder, "work")
  await mkdir(work)
  if (options.program === undefined) bundleProgram(program)
  const identity = await generateX25519Identity()
  const secrets = new Set([identity])
  let folders = 0
  let server: Promise<PostgresCluster> | undefined
  let s3: Promise<Versitygw> | undefined
  const newFolder = async (name: string) => {
    folders += 1
    const made = join(folder, `${name}-${folders}`)
    await mkdir(made)
    return made
  }

  const run: Bed["run"] = async (args, { clock, mayBeKilled = false, ...options }) => {
    const env = { ...options.env, ...(clock === undefined ? {} : wrongClock(clock)) }
    const ended = await runProgram(program, args, { cwd: work, ...options, env })
    const wrong = wrongsOf(ended, secrets, mayBeKilled)
    if (wrong.length > 0) throw new Error(`${args.join(" ")}: ${wrong.join("; ")}; ${toldBy(ended)}`)
    return ended
  }
  return {
    program,
    identity,
    recipient: await identityToRecipient(identity),
    newFolder,
    server: () => {
      server ??= startPostgres().then((started) => {
        secrets.add(started.password)
        undo.defer(() => started.stop())
        return started
      })
      return server
    },
    s3: async (bucket) => {
      s3 ??= newFolder("s3").then(async (empty) => {
        const started = await startVersitygw(empty, "first")
        secrets.add(started.secretAccessKey)
        undo.defer(() => started.stop())
        return started
      })
      const service = await s3
      await createBucket(service, bucket)
      return { ...service, bucketFolder: join(dirname(service.bucketFolder), bucket) }
    },
    guard: (secret) => void secrets.add(secret),
    run,
    json: async (args, options) => {
      const ended = await run([...args, "--json"], options)
      if (ended.exitCode !== 0) throw new Error(`${args.join(" ")}: ${toldBy(ended)}`)
      const answer: unknown = JSON.parse(ended.stdout)
      return answer
    },
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  }
}

function wrongClock(clock: string): Record<string, string> {
  if (libfaketime === undefined) throw new Error("libfaketime is not installed")
  return { LD_PRELOAD: libfaketime, FAKETIME: clock, FAKETIME_DONT_FAKE_MONOTONIC: "1" }
}

/** What the program did that it never may. */
function wrongsOf(ended: Ended, secrets: ReadonlySet<string>, mayBeKilled: boolean): string[] {
  const { exitCode, signal, stdout, stderr, hung, left, ms } = ended
  const all = stdout + stderr
  const wrong: string[] = []
  if (hung) wrong.push(`it hung, and was ended after ${Math.round(ms / 1000)} s`)
  else if (exitCode === null && !mayBeKilled) wrong.push(`it was ended by ${signal}`)
  else if (exitCode !== null && !documentedCodes.includes(exitCode))
    wrong.push("it ended in a way not foreseen")
  if (left.length > 0) wrong.push(`it left processes behind: ${left.join(", ")}`)
  if ([...secrets].some((secret) => all.includes(secret))) wrong.push("it wrote a secret")
  const control = /[^\P{Cc}\n]/u.exec(all)?.[0]
  if (control !== undefined)
    wrong.push(`it wrote the control character U+${control.charCodeAt(0).toString(16).padStart(4, "0")}`)
  return wrong
}

/** How a run ended, for a message. */
export function toldBy({ exitCode, signal, stderr }: Ended): string {
  const lines = stderr.trim().split("\n")
  const errors = lines.filter((line) => line.includes('"level":"error"'))
  return `exit ${exitCode ?? signal}: ${(errors.length > 0 ? errors : lines.slice(-3)).join(" | ").slice(0, 1_500)}`
}
