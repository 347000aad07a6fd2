import { codeOf, messageOf, PgstowError } from "../errors.ts"

/** What the operating system's codes mean to a person: what is wrong, and what to do. */
const reasons: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ["the disk is full", "Free some space there, or give another folder."],
  EDQUOT: ["the disk quota is used up", "Free some space there, or give another folder."],
  EFBIG: ["the file is larger than is allowed there", "Give a folder on a file system for large files."],
  EACCES: [
    "permission denied",
    "Let the user that runs pgstow read and write there, or give another folder.",
  ],
  EPERM: ["not permitted", "Let the user that runs pgstow read and write there, or give another folder."],
  EROFS: ["the file system is read-only", "Mount it for writing, or give another folder."],
  ENOTDIR: ["a file is where a folder should be", "Give a folder."],
  EISDIR: ["a folder is where a file should be", "Move that folder away."],
  ELOOP: [
    "a symbolic link is in the way",
    "Make the storage's own folder the link, or mount the other disk there.",
  ],
  EIO: ["the disk has errors", "Look at the system's log, and do not trust this disk."],
  EMFILE: ["too many files are open", "Raise the limit: ulimit -n 4096."],
  ESTALE: ["the network file system lost it", "Check that it is mounted, then try again."],
}

/** What is wrong with a path, where the operating system's own code does not tell. */
export class PathError extends Error {
  readonly hint: string

  constructor(message: string, hint: string) {
    super(message)
    this.name = "PathError"
    this.hint = hint
  }
}

/** Says what failed. Passes on what says so already. */
export function fileFailure(url: string, action: string, cause: unknown): unknown {
  if (cause instanceof PgstowError || !(cause instanceof Error)) return cause
  const { reason, hint } = fileReason(cause)
  const options = cause instanceof PathError ? { hint } : { cause, hint }
  return new PgstowError("storage", `cannot ${action} in ${url}: ${reason}`, options)
}

/** Why something with a path failed, and what to do where that is known. */
export function fileReason(cause: unknown): { readonly reason: string; readonly hint: string | undefined } {
  if (cause instanceof PathError) return { reason: cause.message, hint: cause.hint }
  const known = reasons[codeOf(cause) ?? ""]
  if (!known) return { reason: messageOf(cause), hint: undefined }
  return { reason: known[0], hint: known[1] }
}
