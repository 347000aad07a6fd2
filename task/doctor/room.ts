import { stat } from "node:fs/promises"
import { formatBytes } from "../console/format.ts"
import { FileStorage } from "../storage/file-storage.ts"
import type { Storage } from "../storage/storage.ts"
import type { Finding } from "./finding.ts"

/** What a folder has to take, as far as that is known. */
export type Load = {
  /** What the last backup took up. */
  readonly lastStoredBytes: number | undefined
  readonly databaseBytes: number | null
  /** Where the server keeps its files, if it is this machine's. */
  readonly dataDirectory: string | undefined
}

/** Looks whether a folder has room for the next backup, on another disk than the database. */
export async function examineRoom(storage: Storage, load: Load): Promise<Finding[]> {
  if (!(storage instanceof FileStorage)) return []
  const { freeBytes, device } = await storage.room()
  const data =
    load.dataDirectory === undefined ? undefined : await stat(load.dataDirectory).catch(() => undefined)
  return [
    ...roomFindings(storage.url, freeBytes, load),
    ...(data?.dev === device ? [sameDisk(storage.url, load.dataDirectory ?? "")] : []),
  ]
}

export function roomFindings(
  url: string,
  freeBytes: number,
  { lastStoredBytes, databaseBytes }: Pick<Load, "lastStoredBytes" | "databaseBytes">,
): Finding[] {
  const wantedBytes = lastStoredBytes ?? databaseBytes ?? 0
  if (freeBytes >= wantedBytes) return []
  const isKnown = lastStoredBytes !== undefined
  return [
    {
      check: "storage.room",
      severity: isKnown ? "error" : "warning",
      subject: url,
      what: `${formatBytes(freeBytes)} are free there, and ${isKnown ? "the last backup took" : "the database takes up"} ${formatBytes(wantedBytes)}`,
      why: isKnown
        ? "The next backup is likely to be as large, and ends with an error where the disk is full."
        : "A backup is compressed, often to a fifth; there is none yet by which to know.",
      fix: `Free ${formatBytes(wantedBytes - freeBytes)} there, or keep less: pgstow cleanup, PGSTOW_KEEP_DAYS.`,
    },
  ]
}

function sameDisk(url: string, dataDirectory: string): Finding {
  return {
    check: "storage.same-disk",
    severity: "warning",
    subject: url,
    what: `backups lie on the same disk as the database (${dataDirectory})`,
    why: "The disk that takes the database with it takes its backups, too, and backups that fill it stop the database.",
    fix: "--storage with a folder on another machine's disk, or s3://bucket/prefix; a second --storage keeps both",
  }
}
