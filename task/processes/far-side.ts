import { PgstowError } from "../errors.ts"

/** A program that was run through a prefix, as far as what the prefix hands on allows to tell. */
export class ExecError extends PgstowError {
  /** Whether both sides counted a stream, and differ. */
  readonly isCounted: boolean

  constructor(message: string, { hint, isCounted = false }: { hint: string; isCounted?: boolean }) {
    super("postgres", message, { hint })
    this.name = "ExecError"
    this.isCounted = isCounted
  }
}

/** Which of a program's streams the far side of a prefix counts. */
export type Counted = "stdin" | "stdout"

/**
 * What the far side of a prefix says, on stderr, of the program that it runs, in lines with a random token in them:
 * "TOKEN begun PID", and at the end "TOKEN exited 0", with "123 bytes" and "passed 0" where a stream is counted.
 */
export type FarSide = {
  /** Gives what of a line of stderr is not the far side's own; undefined where there is nothing else in it. */
  readonly otherThanOwn: (line: string) => string | undefined
  /** The program's process there, once it has begun. */
  readonly pid: () => number | undefined
  /** The program's exit code, once it has ended. */
  readonly status: () => number | undefined
  /** The bytes of the counted stream; undefined where they were not reported, as when its reader has gone. */
  readonly bytes: () => number | undefined
}

export function listenToFarSide(token: string): FarSide {
  let pid: number | undefined
  let end = ""
  return {
    otherThanOwn(line) {
      const at = line.indexOf(token)
      if (at === -1) return line
      const words = line.slice(at + token.length).trim()
      const begun = numberIn(/^begun (\d+)$/, words)
      if (begun === undefined) end = words
      else pid = begun
      return at === 0 ? undefined : line.slice(0, at)
    },
    pid: () => pid,
    status: () => numberIn(/exited (\d+)/, end),
    // Otherwise what counts has not come to the end of the stream.
    bytes: () => (end.includes("passed 0") ? numberIn(/(\d+) bytes?\b/, end) : undefined),
  }
}

function numberIn(pattern: RegExp, text: string): number | undefined {
  const [, digits] = pattern.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/**
 * What is run in place of a program, by `sh -c` with the token and then the program as arguments. It puts PGPASSWORD
 * into the environment from the first line of its input.
 *
 * A counted stream passes through `dd`, which says at its end how much it was; or, where that `dd` does not (some of
 * BusyBox), through `tee` on its way to `wc`. What these say comes, with the exit codes, by descriptor 3; descriptor 4
 * is the output of the whole, and 5 the pipe to `wc`.
 */
export function wrapperFor(counted: Counted | undefined): string {
  const program = `sh -c 'echo "$0 begun $$" >&2; exec "$@"' "$token" "$@"`
  const others = "3>&- 4>&- 5>&-"
  const exited = String.raw`printf '\nexited %s\n' $? >&3`
  const passed = String.raw`printf '\npassed %s\n' $? >&3`
  const dd = `LC_ALL=C dd bs=65536 2>&3`
  const wc = `{ bytes=$(wc -c 3>&- 4>&-); echo "$bytes bytes" >&3; }`
  const run = {
    none: `${program}; said="exited $?"`,
    stdout: through({
      dd: `{ ${program} ${others}; ${exited}; } | { ${dd} >&4 4>&-; ${passed}; }`,
      tee: `{ ${program} ${others}; ${exited}; } | { tee /dev/fd/5 5>&1 >&4 3>&-; ${passed}; } | ${wc}`,
    }),
    stdin: through({
      dd: `{ ${dd} 4>&-; ${passed}; } | { ${program} >&4 ${others}; ${exited}; }`,
      tee: `{ { tee /dev/fd/5 3>&- 4>&-; ${passed}; } | { exec 5>&-; ${program} >&4 ${others}; ${exited}; }; } 5>&1 | ${wc}`,
    }),
  }[counted ?? "none"]
  return [
    "token=$1; shift",
    `IFS= read -r PGPASSWORD && export PGPASSWORD && { ${run}; echo "$token" $said >&2; set -- \${said##*exited }; exit $1; }`,
  ].join("; ")
}

function through({ dd, tee }: { readonly dd: string; readonly tee: string }): string {
  const choose = `case $(LC_ALL=C dd </dev/null 2>&1) in *bytes*) ${dd};; *) ${tee};; esac`
  return `exec 4>&1; said=$( { ${choose}; } 3>&1 ); exec 4>&-`
}
