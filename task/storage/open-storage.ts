import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { PgstowError } from "../errors.ts"
import { FileStorage } from "./file-storage.ts"
import { S3Storage } from "./s3-storage.ts"
import { type Environment, parseS3Url } from "./s3-url.ts"
import type { Storage } from "./storage.ts"

export type OpenStorageOptions = {
  readonly env: Environment
  /** Ends what is under way; only `abort` of a writer still works after it. */
  readonly signal?: AbortSignal | undefined
  /** How long a remote storage may be silent before a request counts as failed. 60 by default. */
  readonly timeoutSeconds?: number | undefined
}

/**
 * Opens `s3://bucket/prefix`, `file:///folder`, or a folder by its path where that begins with "/", "./" or
 * "../". Touches nothing yet. Throws a PgstowError of kind "usage" that names what is wrong with the URL.
 */
export function openStorage(url: string, options: OpenStorageOptions): Storage {
  if (/^s3:/i.test(url)) return new S3Storage(parseS3Url(url, options.env), options)
  return new FileStorage(folderOf(url), { url, signal: options.signal })
}

function folderOf(url: string): string {
  const folder = /^file:/i.test(url) ? pathOfFileUrl(url) : pathOf(url)
  if (resolve(folder) === "/") throw usage(`${url} is the root of the file system`, "Give a folder below it.")
  return resolve(folder)
}

function pathOf(text: string): string {
  if (/^\.{0,2}\//.test(text) && !text.includes("\0")) return text
  if (/^[a-z][a-z0-9+.-]*:/i.test(text))
    throw usage(
      `${text.slice(0, text.indexOf(":"))}: is not a kind of storage`,
      "Write s3://my-bucket/backups or file:///var/backups.",
    )
  throw usage(
    `${JSON.stringify(text)} is not a storage`,
    `Write s3://my-bucket/backups, file:///var/backups, or a path that begins with "/" or "./".`,
  )
}

function pathOfFileUrl(text: string): string {
  const hint = "Write it with three slashes and a full path, like file:///var/backups."
  if (!text.startsWith("file:///") || !URL.canParse(text)) throw usage(`${text} names no folder`, hint)
  const url = new URL(text)
  if (url.search !== "" || url.hash !== "") throw usage(`${text} has parameters`, hint)
  try {
    return fileURLToPath(url)
  } catch (cause) {
    throw new PgstowError("usage", `${text} names no folder`, { cause, hint })
  }
}

function usage(what: string, hint: string): PgstowError {
  return new PgstowError("usage", what, { hint })
}
