import { basename } from "node:path"
import { makeReadable, PgstowError } from "../errors.ts"
import { NotRegularError, openRegularFile } from "../open-regular-file.ts"
import { fernetTime } from "./fernet.ts"
import { isGzip } from "./gunzip.ts"
import { isSalted } from "./openssl.ts"

/** What a file is, seen from outside: sealed by Emiti, sealed by Sentinel, or open to anybody. */
export type FileKind = "fernet" | "openssl" | "gzip" | "sql"

/** A file that an older system left behind. */
export type LegacyFile = {
  readonly path: string
  readonly kind: FileKind
  readonly sizeBytes: number
  /** Who wrote it, as far as the file tells: a plain dump may be anybody's. */
  readonly system: "emiti" | "sentinel" | "pg_dump"
  /** The file's name up to the time in it, or up to its first dot: "emiti_metrics". */
  readonly title: string
  /**
   * When the dump was made. Both systems put the local time into the file's name and no time zone: it is read in
   * the time zone of this machine (TZ). Where the name has none: the time in the Fernet token, or the file's own.
   */
  readonly madeAt: Date
}

/** A file that is something else. */
export class NotABackupError extends PgstowError {
  constructor(message: string) {
    super("usage", message, {
      hint: "Emiti and Sentinel leave plain SQL of pg_dump behind, most often compressed by gzip and encrypted.",
    })
    this.name = "NotABackupError"
  }
}

/** Enough of a file to recognise it by. */
export const headBytes = 512

/**
 * Recognises a file by its content; only its time is taken from its name. Throws a NotABackupError that says what the
 * file is instead.
 */
export async function recognise(path: string): Promise<LegacyFile> {
  const { head, sizeBytes, modifiedAt } = await readHead(path)
  const name = basename(path)
  const kind = kindOf(head)
  if (!kind) throw new NotABackupError(`${path} is ${describe(head)}, not a backup of Emiti or Sentinel`)
  const system =
    kind === "fernet"
      ? "emiti"
      : kind === "openssl" || name.startsWith("sentinel_backup_")
        ? "sentinel"
        : "pg_dump"
  const dated = /^(.+?)_(\d{8}_\d{6})(?!\d)/.exec(name)
  return {
    path,
    kind,
    sizeBytes,
    system,
    title: dated?.[1] ?? name.replace(/(?<=.)\..*$/, ""),
    madeAt: localTime(dated?.[2]) ?? fernetTime(head) ?? modifiedAt,
  }
}

export function kindOf(head: Buffer): FileKind | undefined {
  if (isGzip(head)) return "gzip"
  if (isSalted(head)) return "openssl"
  if (isPlainDump(head)) return "sql"
  return fernetTime(head) ? "fernet" : undefined
}

/** Whether `head` begins what pg_dump writes as plain SQL. */
export function isPlainDump(head: Buffer): boolean {
  return /^(?:--\r?\n)?-- PostgreSQL database dump\r?\n/.test(head.toString("latin1"))
}

/** What a file is that begins with `head` and is none of ours: words for a message. */
export function describe(head: Buffer): string {
  const text = head.toString("latin1")
  if (text === "") return "empty"
  if (text.startsWith("PGDMP")) return "pg_dump's custom format (pg_restore reads it)"
  if (text.startsWith("age-encryption.org/")) return "an age file"
  if (text.startsWith("-----BEGIN AGE ENCRYPTED FILE-----")) return "an armored age file"
  if (text.startsWith("(\xb5/\xfd")) return "compressed by zstd"
  if (/^(?:--\r?\n)?-- PostgreSQL database cluster dump/.test(text)) return "a dump of pg_dumpall"
  return "something unknown"
}

async function readHead(path: string): Promise<{ head: Buffer; sizeBytes: number; modifiedAt: Date }> {
  try {
    await using file = await openRegularFile(path, { followLink: true })
    const { size, mtime } = await file.stat()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes))
    return { head: buffer.subarray(0, bytesRead), sizeBytes: size, modifiedAt: mtime }
  } catch (cause) {
    if (cause instanceof NotRegularError) throw new NotABackupError(cause.message)
    throw new PgstowError("usage", `${path} can't be read`, { cause, hint: makeReadable })
  }
}

/** "20240115_030000" in the time zone of this machine; undefined where there is no such time. */
function localTime(text: string | undefined): Date | undefined {
  const [, ...fields] = /^(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})(\d{2})$/.exec(text ?? "") ?? []
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = fields.map(Number)
  const time = new Date(year, month - 1, day, hour, minute, second)
  const exists = time.getFullYear() === year && time.getMonth() === month - 1 && time.getDate() === day
  return year > 0 && exists && hour < 24 && minute < 60 && second < 60 ? time : undefined
}
