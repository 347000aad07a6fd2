import { codeOf, PgstowError } from "../errors.ts"

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
  if (cause instanceof PathError)
    return new PgstowError("storage", `cannot ${action} in ${url}: ${cause.message}`, { hint: cause.hint })
  const known = reasons[codeOf(cause) ?? ""]
  if (!known) return new PgstowError("storage", `cannot ${action} in ${url}: ${cause.message}`, { cause })
  const [reason, hint] = known
  return new PgstowError("storage", `cannot ${action} in ${url}: ${reason}`, { cause, hint })
}
