import { createReadStream } from "node:fs"
import { PgstowError } from "../errors.ts"
import { checkSha256Beside } from "./checksum-file.ts"
import { fernetKey, openFernet } from "./fernet.ts"
import { gunzip, isGzip } from "./gunzip.ts"
import { openSalted, passPhrase } from "./openssl.ts"
import { peek } from "./peek.ts"
import { describe, headBytes, isPlainDump, type LegacyFile, NotABackupError } from "./recognise.ts"

/** The keys of the older systems, as far as there are any. */
export type LegacyKeys = {
  /** Emiti's ENCRYPTION_KEY: a Fernet key, or any text. */
  readonly emiti?: string | undefined
  /** What is in the file of Sentinel's ENCRYPTION_KEY_PATH. */
  readonly sentinel?: Uint8Array | undefined
}

/**
 * The plain SQL in a file of Emiti or Sentinel, in constant memory.
 *
 * Checked on the way: the `.sha256` beside the file and Fernet's HMAC before the first byte is given out, gzip's
 * own checksums, and that the dump ends as pg_dump ends one. What was given out counts only when the generator
 * has ended well.
 */
export async function* openLegacy(file: LegacyFile, keys: LegacyKeys): AsyncGenerator<Buffer> {
  await checkSha256Beside(file.path)
  const body = await peek(unsealed(file, keys), headBytes)
  const dump = await peek(isGzip(body.head) ? gunzip(body.all) : body.all, headBytes)
  if (!isPlainDump(dump.head)) {
    await dump.all.return?.()
    throw file.kind === "openssl" && !isGzip(body.head) ? wrongPassPhrase(file) : notADump(file, dump.head)
  }
  yield* untilClosingLine(file, dump.all)
}

function unsealed(file: LegacyFile, keys: LegacyKeys): AsyncIterable<Uint8Array> {
  const read = () => createReadStream(file.path, { highWaterMark: 256 * 1024 })
  switch (file.kind) {
    case "fernet":
      if (keys.emiti === undefined) throw noKey(file, "Emiti", "ENCRYPTION_KEY")
      return openFernet(read, fernetKey(keys.emiti))
    case "openssl":
      if (keys.sentinel === undefined) throw noKey(file, "Sentinel", "ENCRYPTION_KEY_PATH")
      return openSalted(read(), passPhrase(keys.sentinel))
    case "gzip":
    case "sql":
      return read()
  }
}

/** The longest end of a dump that is looked at: the closing line, and `\unrestrict` with its key behind it. */
const tailBytes = 512

// Since CVE-2025-8714 was fixed, pg_dump writes \unrestrict and a key of letters and digits last.
const closingLine =
  /\n--\r?\n-- PostgreSQL database dump complete\r?\n--\s*(?:\\unrestrict [A-Za-z0-9]+\s*)?$/

async function* untilClosingLine(file: LegacyFile, dump: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let tail = Buffer.alloc(0)
  for await (const chunk of dump) {
    tail = Buffer.concat([tail, chunk.subarray(-tailBytes)]).subarray(-tailBytes)
    yield chunk
  }
  if (!closingLine.test(tail.toString("latin1")))
    throw new PgstowError("damaged", `${file.path} ends before the dump in it does`, {
      hint: "pg_dump was stopped midway when this backup was made; restore an older one.",
    })
}

function noKey(file: LegacyFile, system: string, variable: string): PgstowError {
  return new PgstowError("key", `${file.path} is encrypted by ${system}, and there is no key`, {
    hint: `Set ${variable} to what it was when ${system} made this file.`,
  })
}

function wrongPassPhrase(file: LegacyFile): PgstowError {
  return new PgstowError("key", `${file.path} does not open: the key is wrong, or the file is damaged`, {
    hint: "Give the file that ENCRYPTION_KEY_PATH named when Sentinel made this backup.",
  })
}

function notADump(file: LegacyFile, head: Buffer): PgstowError {
  return new NotABackupError(
    `${file.path} holds no plain dump of pg_dump; what is in it is ${describe(head)}`,
  )
}
