import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { basename } from "node:path"
import { makeReadable, PgstowError } from "../errors.ts"
import { openRegularFile } from "../open-regular-file.ts"

/**
 * Checks `file` against the `.sha256` next to it, as `sha256sum` writes it. False where there is none. Throws where
 * the checksum differs, or where the `.sha256` does not name the file.
 */
export async function checkSha256Beside(file: string): Promise<boolean> {
  const beside = `${file}.sha256`
  const text = await readText(beside).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new PgstowError("storage", `${beside} can't be read`, { cause, hint: makeReadable })
  })
  if (text === undefined) return false
  const expected = sha256In(text, basename(file))
  if (expected === undefined)
    throw new PgstowError("damaged", `${beside} holds no SHA-256 of ${basename(file)}`, {
      hint: "Fix it, or remove it to do without this check.",
    })
  if ((await sha256OfFile(file)).toString("hex") !== expected)
    throw new PgstowError("damaged", `${file} is not what its .sha256 says`, {
      hint: "The file was altered or cut short; copy it again from where it was made.",
    })
  return true
}

async function readText(path: string): Promise<string> {
  await using file = await openRegularFile(path, { followLink: true })
  return await file.readFile("utf8")
}

/** Reads all of a file. */
export async function sha256OfFile(path: string): Promise<Buffer> {
  const hash = createHash("sha256")
  const bytes: AsyncIterable<Buffer> = createReadStream(path)
  for await (const chunk of bytes) hash.update(chunk)
  return hash.digest()
}

/**
 * The SHA-256 that the text of a checksum file gives for the file called `name`, in whatever folder it was when
 * the checksum was made. Lines are "<64 digits>  <path>", or "*" before the path for binary mode.
 */
export function sha256In(text: string, name: string): string | undefined {
  for (const line of text.split(/\r?\n/)) {
    const [, digits, path] = /^\\?([0-9a-fA-F]{64})(?: [ *](.+))?$/.exec(line) ?? []
    if (digits && (path === undefined || basename(path) === name)) return digits.toLowerCase()
  }
  return undefined
}
