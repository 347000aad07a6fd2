import { type FailureKind, PgstowError } from "../errors.ts"

/** A program that could not be started, exited with another code than 0, or was ended by a signal. */
export class ChildError extends PgstowError {
  readonly program: string
  readonly exitStatus: number | undefined
  readonly signal: NodeJS.Signals | undefined
  /** The last 64 KiB of what it wrote to stderr. */
  readonly stderr: string

  constructor(
    program: string,
    message: string,
    detail: {
      /** Without it, that of a program between a database and a storage. */
      kind?: FailureKind | undefined
      status?: number | undefined
      signal?: NodeJS.Signals | undefined
      stderr?: string
      cause?: unknown
      hint?: string | undefined
    },
  ) {
    const { kind = "postgres", cause, hint = detail.signal === "SIGKILL" ? killedHint : undefined } = detail
    super(kind, message, { cause, hint })
    this.name = "ChildError"
    this.program = program
    this.exitStatus = detail.status
    this.signal = detail.signal
    this.stderr = detail.stderr ?? ""
  }

  /** "exited with 1", "was ended by SIGKILL". */
  get ending(): string {
    return endingOf(this.exitStatus, this.signal)
  }
}

const killedHint = "The system may have run out of memory: look into its log, and give it more."

export function endingOf(
  status: number | null | undefined,
  signal: NodeJS.Signals | null | undefined,
): string {
  return signal ? `was ended by ${signal}` : `exited with ${status}`
}
