import { access, constants, type FileHandle } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { codeOf, PgstowError } from "../errors.ts"
import { NotRegularError, openRegularFile } from "../open-regular-file.ts"
import { replaceFile } from "../processes/replace-file.ts"
import { pageStart } from "./page.ts"

/**
 * The file that a page is to be written to, by its full path. Throws a usage error where there is anything but an older
 * page: asked before the storages are read, which may take long.
 */
export async function pageFile(out: string): Promise<string> {
  const path = resolve(out)
  const taken = (what: string) =>
    new PgstowError("usage", `${path} ${what}`, {
      hint: "Give --out the name of a new file, or of an older report, which is replaced.",
    })
  try {
    await using file = await openRegularFile(path, { followLink: true })
    if (!(await isPage(file))) throw taken("exists already, and is no report")
  } catch (cause) {
    if (cause instanceof PgstowError) throw cause
    if (cause instanceof NotRegularError) throw taken(`is ${cause.what}`)
    if (codeOf(cause) !== "ENOENT") throw notWritten(path, cause)
  }
  await access(dirname(path), constants.W_OK).catch((cause: unknown) => {
    throw notWritten(path, cause)
  })
  return path
}

async function isPage(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(pageStart.length), 0, pageStart.length, 0)
  return buffer.toString("utf8", 0, bytesRead) === pageStart
}

/** Writes the page, all of it or nothing. A new one is for this user alone; an older one keeps its rights. */
export async function writePage(path: string, page: string): Promise<void> {
  await replaceFile(path, page, 0o600).catch((cause: unknown) => {
    throw notWritten(path, cause)
  })
}

function notWritten(path: string, cause: unknown): PgstowError {
  return new PgstowError("usage", `the report can't be written to ${path}`, {
    cause,
    hint: "Give --out a file in a folder that exists and that you may write to, with room for it. What was there before is as it was.",
  })
}
