import type { UnlistedPlace } from "../catalog/list.ts"
import type { RetentionPolicy } from "../core/retention.ts"
import type { Mark, ReportedState } from "./mark.ts"

/** What the storages hold. Storages are named by their places in `storages`, from 0 on. */
export type ReportData = {
  readonly madeAt: string
  readonly by: string
  readonly maxAgeHours: number
  readonly policy: RetentionPolicy | null
  /** Where some databases have limits and a policy of their own: the others have these. */
  readonly limitsVary?: boolean
  readonly storages: readonly string[]
  /** What could not be listed: nothing of it is in here. */
  readonly unlisted: readonly UnlistedPlace[]
  /** Why there is nothing of what was asked for, for each storage that has nothing of it. */
  readonly empty: readonly { readonly storage: string; readonly why: string }[]
  /** By their names. */
  readonly databases: readonly DatabaseReport[]
}

export type DatabaseReport = {
  readonly database: string
  /** Newest first. */
  readonly backups: readonly ReportedBackup[]
  readonly newest: Aged | null
  readonly newestVerified: Aged | null
  readonly newestDrilled: Aged | null
  /** Whether no verified backup is as young as it should be. */
  readonly overdue: boolean
  /** The last drills, newest first. */
  readonly drills: readonly ReportedDrill[]
  /** The last things that went wrong, newest first. */
  readonly problems: readonly ReportedProblem[]
  /** Each of the last days (UTC), oldest first. */
  readonly nights: readonly Night[]
  readonly outlook: Outlook
}

export type Aged = { readonly id: string; readonly startedAt: string; readonly ageHours: number }

export type ReportedBackup = {
  readonly id: string
  /** Null where the folder is not named by an id; what only the manifest tells is null where that can't be read. */
  readonly startedAt: string | null
  readonly seconds: number | null
  readonly storedBytes: number | null
  readonly rawBytes: number | null
  /** About how many rows its tables had, as the server's statistics guessed. */
  readonly rows: number | null
  /** What it holds and what not, in words, where something was left out. */
  readonly partial: string | null
  /** The best that is known of any copy. */
  readonly state: ReportedState
  readonly copies: readonly ReportedCopy[]
}

export type ReportedCopy = {
  readonly storage: number
  readonly state: ReportedState
  /** Whether its user keeps it for ever; null where that is not known. */
  readonly pinned: boolean | null
  /** Whether retention keeps it, and why; null where there is no policy. */
  readonly kept: { readonly keep: boolean; readonly because: readonly string[] } | null
}

export type ReportedDrill = {
  readonly id: string
  readonly storage: number
  readonly at: string
  readonly good: boolean
  /** Null where it did not come to compare. */
  readonly restoreSeconds: number | null
  readonly rows: number | null
  readonly server: string | null
}

export type ReportedProblem = {
  readonly at: string | null
  readonly id: string
  readonly storages: readonly number[]
  readonly what: string
}

/**
 * One day (UTC) and the best that a backup begun on it came to. "missing": there should be one. "none": there is none, and
 * cleanup may have removed it, or none was due.
 */
export type Night = { readonly day: string; readonly mark: Mark }

/** What is stored now, and what will be if it goes on like that. Bytes of all copies that are kept. */
export type Outlook = {
  readonly keptBytes: number
  readonly dollarsPerMonth: number
  /** Null where there is too little to draw a line through. */
  readonly growth: {
    /** By how much a backup grows a day; negative where it shrinks. */
    readonly bytesPerDay: number
    readonly ahead: readonly Ahead[]
  } | null
}

export type Ahead = {
  readonly days: number
  readonly backupBytes: number
  readonly keptBytes: number
  readonly dollarsPerMonth: number
}
