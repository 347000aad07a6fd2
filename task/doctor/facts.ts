import { dollarsPerMonth } from "../core/s3-standard-price.ts"
import type { SourceReport } from "./examine-source.ts"
import type { LastBackups, MeasuredBackup } from "./last-backups.ts"
import type { Size } from "./size.ts"

/** What there is to know before the first night, and is nothing to put right. */
export type Facts = {
  readonly database: string
  readonly size: Omit<Size, "dataDirectory"> | null
  /** The newest backup, and where; null where there is none, or none that may be read. */
  readonly lastBackup: (MeasuredBackup & { readonly storage: string }) | null
  /** What the next backup comes to, by the last one; null where there is none. */
  readonly expected: Expected | null
  /** The server of --target, where a restore would be taken there. */
  readonly takenBy: string | null
}

export type Expected = {
  readonly seconds: number
  readonly storedBytes: number
  /** What storing it costs in S3 Standard in us-east-1. */
  readonly dollarsPerMonth: number
}

export function factsOf(
  { database, size, takenBy }: { readonly database: string } & Pick<SourceReport, "size" | "takenBy">,
  last: LastBackups | undefined,
): Facts {
  const [newest] = last?.backups ?? []
  return {
    database,
    size: size === undefined ? null : withoutPlace(size),
    lastBackup: newest === undefined || last === undefined ? null : { storage: last.storage, ...newest },
    expected: newest === undefined ? null : expectedBy(newest, size?.databaseBytes ?? newest.databaseBytes),
    takenBy,
  }
}

function withoutPlace(size: Size): NonNullable<Facts["size"]> {
  const { dataDirectory: _, ...others } = size
  return others
}

/** As much more, or less, as the database has grown or shrunk since. */
function expectedBy(backup: MeasuredBackup, databaseBytes: number): Expected {
  const growth = backup.databaseBytes > 0 ? databaseBytes / backup.databaseBytes : 1
  const storedBytes = Math.round(backup.storedBytes * growth)
  return {
    seconds: backup.seconds * growth,
    storedBytes,
    dollarsPerMonth: dollarsPerMonth(storedBytes),
  }
}
