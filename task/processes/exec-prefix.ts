import { randomBytes } from "node:crypto"
import { PgstowError } from "../errors.ts"
import type { Program } from "./child.ts"
import { type Counted, type FarSide, listenToFarSide, wrapperFor } from "./far-side.ts"

/** What to start in place of a program, and what is to know of the prefix, where there is one. */
export type Prefixed = Program & { readonly behind: Behind | undefined }

export type Behind = {
  /** As the user wrote it. */
  readonly prefix: string
  /** What the program is to read before all else. */
  readonly firstLine: string
  readonly farSide: FarSide
  /** How long the prefix may take until the program begins. */
  readonly startsWithinSeconds: number
}

/** The variable that holds the prefix, and is handed on to no program. */
export const execVariable = "PGSTOW_EXEC"

/** The variable that says within how many seconds a program behind the prefix must begin. */
export const execTimeoutVariable = "PGSTOW_EXEC_TIMEOUT"

export function execTimeoutSeconds(env: Program["env"]): number {
  return Number(env[execTimeoutVariable] || 60)
}

const hint = 'Write it like "docker exec -i NAME", "kubectl exec -i POD --" or "ssh HOST".'

/**
 * `program` as it is, or where its environment says so by PGSTOW_EXEC ("docker exec -i db"), run through that
 * prefix. What its environment says to libpq comes along as arguments of `env`, but the password in the first line
 * of its input: nobody reads it from a process list.
 *
 * @param counted the stream that the far side is to count
 *
 * Throws a usage error where the prefix can't hand on input and output as they are.
 */
export function throughPrefix({ file, args, env }: Program, counted?: Counted): Prefixed {
  const { [execVariable]: prefix, [execTimeoutVariable]: _, PGPASSWORD: password = "", ...rest } = env
  if (prefix === undefined) return { file, args, env, behind: undefined }
  const token = randomBytes(16).toString("hex")
  const [first = "", ...others] = checked(prefix.split(/\s+/).filter((word) => word !== ""))
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
    env: rest,
    behind: {
      prefix,
      firstLine: password,
      farSide: listenToFarSide(token),
      startsWithinSeconds: execTimeoutSeconds(env),
    },
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
