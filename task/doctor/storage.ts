import { clockAheadSeconds, describeClock } from "../catalog/clocks.ts"
import type { Context } from "../context.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { isS3Error } from "../storage/s3-failure.ts"
import { S3Storage } from "../storage/s3-storage.ts"
import type { Storage } from "../storage/storage.ts"
import { bucketFindings } from "./bucket.ts"
import type { Finding, Severity } from "./finding.ts"
import { type Attempt, type Tried, tryStorage } from "./try-storage.ts"

/** How backups are made, as far as that says what a storage must be able to do. */
export type StorageUse = {
  /** Whether each backup is read back. */
  readonly verify: boolean
  /** Whether a good backup is followed by a cleanup. */
  readonly cleanup: boolean
}

/** Tries a storage out, and looks at its rules. Rejects with nothing but the signal's reason. */
export async function examineStorage(
  storage: Storage,
  database: string,
  use: StorageUse,
  { now, signal }: Pick<Context, "now" | "signal">,
): Promise<Finding[]> {
  const tried = await tryStorage(storage, database)
  signal.throwIfAborted()
  const findings = [...triedFindings(tried, use), ...clockFindings(storage, now())]
  if (!(storage instanceof S3Storage) || tried.failures.write) return findings
  try {
    return [...findings, ...bucketFindings(storage.url, await storage.bucketRules())]
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return [...findings, failed("notice", tried.url, "bucket", error, whyOf.bucket)]
  }
}

const whyOf: Readonly<Record<Attempt | "bucket", string>> = {
  write: "Nothing can be stored there.",
  keep: "A manifest is written only where there is none: otherwise two backups could become one.",
  parts: "Every backup is stored as objects of several parts.",
  list: "list, status, verify, restore and cleanup look for backups there, and a backup compares itself with the ones before.",
  read: "A backup is read back after it was stored, and restores read it.",
  uploads: "Uploads that were never finished take up space until they are found and ended.",
  remove:
    "cleanup can't remove old backups, nor a backup what it has stored before it failed; the doctor leaves two small objects there.",
  bucket: "A rule of the bucket's may remove backups, or move them to where they can't be read at once.",
}

/** What each attempt means for backups as they are made here. */
function severityOf(attempt: Attempt, { verify, cleanup }: StorageUse): Severity {
  switch (attempt) {
    case "write":
    case "keep":
    case "parts":
      return "error"
    case "read":
      return verify ? "error" : "notice"
    case "list":
      return verify || cleanup ? "warning" : "notice"
    case "uploads":
    case "remove":
      return cleanup ? "error" : "notice"
  }
}

export function triedFindings({ url, failures, notes }: Tried, use: StorageUse): Finding[] {
  // Its keys are attempts, by its type.
  const attempts = Object.entries(failures) as [Attempt, PgstowError][]
  return [
    ...attempts.map(([attempt, failure]) =>
      failed(severityOf(attempt, use), url, attempt, failure, whyOf[attempt]),
    ),
    ...notes.map((note) => noteFinding(url, note)),
  ]
}

function failed(
  severity: Severity,
  subject: string,
  about: Attempt | "bucket",
  failure: PgstowError,
  why: string,
): Finding {
  return {
    check: `storage.${about}`,
    severity,
    subject,
    what: messageOf(failure).replaceAll(/\s*\n\s*/g, " "),
    why,
    fix: (about !== "bucket" && permission(subject, about, failure)) || (failure.hint ?? checkRights),
  }
}

const checkRights = "Check what this user may do there."

/** What AWS asks for, for each attempt. */
const actions: Readonly<Record<Attempt, readonly string[]>> = {
  write: ["s3:PutObject", "s3:AbortMultipartUpload"],
  keep: ["s3:PutObject"],
  parts: ["s3:PutObject"],
  list: ["s3:ListBucket"],
  read: ["s3:GetObject"],
  uploads: ["s3:ListBucketMultipartUploads"],
  remove: ["s3:DeleteObject"],
}

/** The statement of an IAM policy that allows it, where the service refused because nobody does. */
function permission(url: string, attempt: Attempt, failure: PgstowError): string | undefined {
  if (!isS3Error(failure.cause, 403, "AccessDenied")) return undefined
  const { hostname: bucket, pathname } = new URL(url)
  const ofBucket = attempt === "list" || attempt === "uploads"
  const Resource = ofBucket
    ? `arn:aws:s3:::${bucket}`
    : `arn:aws:s3:::${bucket}${pathname.replace(/\/?$/, "/*")}`
  return JSON.stringify({ Effect: "Allow", Action: actions[attempt], Resource })
}

function noteFinding(url: string, note: string): Finding {
  const [, parameter] = /\badd (max-parts=\d+)/.exec(note) ?? []
  return {
    check: parameter === undefined ? "storage.conditions" : "storage.max-parts",
    severity: parameter === undefined ? "notice" : "warning",
    subject: url,
    what: note,
    why:
      parameter === undefined
        ? "Between the look and the writing somebody else may write; pgstow's own backups have names of their own."
        : "A large backup would be refused at its end; until the setting is there each backup finds it out again.",
    fix:
      parameter ?? "A service that keeps to If-None-Match, where several machines back up the same database.",
  }
}

function clockFindings(storage: Storage, now: Date): Finding[] {
  const aheadSeconds = clockAheadSeconds(storage, now)
  if (aheadSeconds === null) return []
  return [
    {
      check: "storage.clock",
      severity: "warning",
      subject: storage.url,
      what: describeClock(storage.url, aheadSeconds),
      why: "Backups are dated by this machine's clock, and the age of the newest, and what to keep, go by that. S3 refuses requests that are more than 15 minutes off.",
      fix: "timedatectl set-ntp true",
    },
  ]
}
