import { randomBytes } from "node:crypto"
import { PgstowError } from "../errors.ts"
import { type Counted, ExecError, type FarSide, listenToFarSide, wrapperFor } from "./far-side.ts"
import type { Prefix, Program } from "./program.ts"

/** What to start in place of a program, and what is to know of the prefix, where there is one. */
export type Prefixed = Omit<Program, "prefix"> & { readonly behind: Behind | undefined }

export type Behind = {
  readonly prefix: Prefix
  /** What the program is to read before all else. */
  readonly firstLine: string
  readonly farSide: FarSide
}

const hint = 'Write it like "docker exec -i NAME", "kubectl exec -i POD --" or "ssh HOST".'

/** The prefix of these words; undefined without any. It gets this environment, but what is the server's or our own. */
export function prefixOf(
  words: string | undefined,
  startsWithinSeconds: number,
  env: Program["env"],
): Prefix | undefined {
  if (words === undefined) return undefined
  return { words, startsWithinSeconds, env: envForOthers(env) }
}

/** The environment without what is the server's or our own: for docker, kubectl and ssh. */
export function envForOthers(env: Program["env"]): Record<string, string> {
  const own = /^(PGSTOW_.*|DATABASE_URL|PGCLIENTENCODING|PGPASSWORD)$/
  const passed: Record<string, string> = {}
  for (const [name, value] of Object.entries(env))
    if (value !== undefined && value !== "" && !own.test(name)) passed[name] = value
  return passed
}

/**
 * `program` as it is, or what runs it through its prefix. What its environment says to libpq comes along as arguments
 * of `env`, but the password in the first line of its input: nobody reads it from a process list.
 *
 * @param counted the stream that the far side is to count
 *
 * Throws a usage error where the prefix can't hand on input and output as they are.
 */
export function throughPrefix({ file, args, env, prefix }: Program, counted?: Counted): Prefixed {
  if (prefix === undefined) return { file, args, env, behind: undefined }
  const { PGPASSWORD: password = "", ...rest } = env
  const token = randomBytes(16).toString("hex")
  const [first = "", ...others] = checked(prefix.words.split(/\s+/).filter((word) => word !== ""))
  const settings = Object.entries(rest).filter(([name]) => /^(PG(?!STOW_)[A-Z_]+|LC_ALL)$/.test(name))
  const command = [
    "sh",
    "-c",
    wrapperFor(counted),
    "sh",
    token,
    "env",
    ...settings.map(([name, value]) => `${name}=${value ?? ""}`),
    file,
    ...args,
  ]
  // ssh joins what it is given and has a shell take it apart again.
  const isSsh = [first, ...others].some((word) => /(^|\/)ssh$/.test(word))
  return {
    file: first,
    args: [...others, ...(isSsh ? command.map(quote) : command)],
    env: { ...prefix.env, ...rest },
    behind: { prefix, firstLine: password, farSide: listenToFarSide(token) },
  }
}

function checked(words: readonly string[]): readonly string[] {
  const [first, ...others] = words
  if (first === undefined) throw new PgstowError("usage", "PGSTOW_EXEC is empty", { hint })
  if (!others.includes("exec") || others.includes("compose")) return words
  const flags = others.filter((word) => /^-[a-z]+$/.test(word))
  if (flags.some((flag) => flag.includes("t")) || others.includes("--tty"))
    throw new PgstowError("usage", `${first} exec with a terminal (-t) changes what passes through it`, {
      hint,
    })
  if (!flags.some((flag) => flag.includes("i")) && !others.includes("--interactive"))
    throw new PgstowError("usage", `${first} exec passes no input on without -i`, { hint })
  return words
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** The exit code of a program whose prefix exited with 0, or did not begin it in time: it alone says what became of it. */
export function farEnd(name: string, { prefix, farSide }: Behind, isLate: boolean): number | ExecError {
  const { words, startsWithinSeconds } = prefix
  const status = farSide.status()
  if (status !== undefined) return status
  const how =
    farSide.pid() !== undefined
      ? `${words} ended, and how ${name} ended did not come through it`
      : isLate
        ? `${words} has not begun to run ${name} within ${startsWithinSeconds} s`
        : `${words} ended without having run ${name}`
  return new ExecError(how, {
    hint: `It must hand on input, output and errors as they are: try ${words} sh -c "echo hello >&2" by hand.`,
  })
}

/** Why a stream that had so many bytes here did not come through the prefix as it was; undefined where it did. */
export function lossOf(
  name: string,
  { prefix, farSide }: Behind,
  counted: Counted,
  here: number,
): ExecError | undefined {
  const there = farSide.bytes()
  if (there === here) return undefined
  const what = counted === "stdout" ? "the output" : "the input"
  const counts =
    there === undefined
      ? `its end is not known, after ${here} bytes`
      : counted === "stdout"
        ? `${name} wrote ${there} bytes, and ${here} came`
        : `${here} bytes were sent, and ${there} came`
  return new ExecError(`${what} of ${name} did not come through ${prefix.words} as it was: ${counts}`, {
    hint: "Its connection may have broken: try again, or connect to the server without it.",
    isCounted: there !== undefined,
  })
}
