import { constants, type Stats } from "node:fs"
import { type FileHandle, lstat, open, stat } from "node:fs/promises"

/** What is in a file's place, where that is no file. */
export class NotRegularError extends Error {
  /** With its article: "a FIFO". */
  readonly what: string

  constructor(path: string, what: string) {
    super(`${path} is ${what}, and no file`)
    this.name = "NotRegularError"
    this.what = what
  }
}

/**
 * Opens a regular file to read. Anything else is refused with a NotRegularError before it is opened, since to open a
 * FIFO waits for whoever writes into it, and to open a device may do something; what takes a file's place meanwhile
 * is refused as well. With `followLink: false` a symbolic link is not a file either.
 */
export async function openRegularFile(
  path: string,
  options: { readonly followLink: boolean },
): Promise<FileHandle> {
  return (await openSizedFile(path, options)).handle
}

/** The same, with its size as it was then. */
export async function openSizedFile(
  path: string,
  { followLink }: { readonly followLink: boolean },
): Promise<{ readonly handle: FileHandle; readonly sizeBytes: number }> {
  refuseOthers(path, await (followLink ? stat(path) : lstat(path)))
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (followLink ? 0 : constants.O_NOFOLLOW)
  const handle = await open(path, flags)
  try {
    const found = await handle.stat()
    refuseOthers(path, found)
    return { handle, sizeBytes: found.size }
  } catch (error) {
    await handle.close()
    throw error
  }
}

function refuseOthers(path: string, found: Stats): void {
  if (!found.isFile()) throw new NotRegularError(path, kindOf(found))
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return "a folder"
  if (found.isSymbolicLink()) return "a symbolic link"
  if (found.isFIFO()) return "a FIFO"
  if (found.isSocket()) return "a socket"
  return "a device"
}
