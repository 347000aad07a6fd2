import * as z from "zod"

const mustBe = { error: "must be a whole number from 1 to 100000" }
const limit = z.int(mustBe).min(1, mustBe).max(100_000, mustBe).optional()

/** What to keep. Every rule adds to what the others keep; a policy without any is refused. */
export const retentionPolicySchema = z
  .strictObject({
    keepLast: limit.describe("The newest so many."),
    keepDays: limit.describe("All that were started less than so many times 24 hours ago."),
    keepHourly: limit.describe(
      "One of each of the last so many hours (UTC) that have one: of those that are proven best, the newest. The same for the longer ones.",
    ),
    keepDaily: limit.describe("One of each of the last so many days that have one."),
    keepWeekly: limit.describe(
      "One of each of the last so many weeks, those of ISO 8601: they begin on Monday.",
    ),
    keepMonthly: limit.describe("One of each of the last so many months."),
    keepYearly: limit.describe("One of each of the last so many years."),
  })
  .refine(
    (policy) => Object.values(policy).some((rule) => rule !== undefined),
    "a retention policy must say what to keep: keepLast, keepDays, keepHourly, keepDaily, keepWeekly, keepMonthly or keepYearly",
  )

export type RetentionPolicy = Readonly<z.infer<typeof retentionPolicySchema>>

/** What is known of a backup's bytes: its last check was good, it had none, or its last check found damage. */
export type BackupState = "verified" | "unverified" | "failed"

/** How well a verified backup is proven, the best first. */
export const proofs = ["drilled", "deep-verified", "verified"] as const
export type Proof = (typeof proofs)[number]

export type DatedBackup = {
  readonly id: string
  readonly startedAt: Date
  readonly state: BackupState
  /** Of one that is verified; just that, unless given. */
  readonly proof?: Proof
  /** Whether its user keeps it for ever. It counts towards what the policy keeps as any other. */
  readonly isPinned?: boolean
  /** Whether something was left out of it. */
  readonly isPartial?: boolean
}

export type Decision<Backup> = {
  readonly backup: Backup
  readonly keep: boolean
  /** Why, in words for people. Never empty. */
  readonly because: readonly string[]
}

/**
 * Decides which backups of one database in one storage to keep, newest first. Decides only: the caller removes.
 *
 * Only verified backups count towards what the policy keeps, and the newest of them is always kept. A backup
 * that is not verified is kept at least until a newer one is: it may be all there is. A backup from the future
 * is kept and counts for nothing: it must not push out those whose time is right. Partial backups and whole ones are
 * counted apart: neither is a reason to remove the other.
 *
 * Throws a ZodError where `policy` is empty or holds anything but positive whole numbers.
 */
export function planCleanup<Backup extends DatedBackup>(
  backups: readonly Backup[],
  policy: RetentionPolicy,
  now: Date,
): Decision<Backup>[] {
  retentionPolicySchema.parse(policy)
  const byScope = Map.groupBy(backups, ({ isPartial = false }) => isPartial)
  return [...byScope.values()]
    .flatMap((alike) => planAlike(alike, policy, now))
    .toSorted((a, b) => compareNewestFirst(a.backup, b.backup))
}

function compareNewestFirst(a: DatedBackup, b: DatedBackup): number {
  return b.startedAt.getTime() - a.startedAt.getTime() || (a.id < b.id ? 1 : -1)
}

function planAlike<Backup extends DatedBackup>(
  backups: readonly Backup[],
  policy: RetentionPolicy,
  now: Date,
): Decision<Backup>[] {
  const rules = retentionPolicySchema.parse(policy)
  const newestFirst = backups.toSorted(compareNewestFirst)
  const verified = newestFirst.filter(({ state, startedAt }) => state === "verified" && startedAt <= now)
  const keptByRules = applyRules(verified, rules, now)
  const [newestVerified] = verified

  return newestFirst.map((backup) => {
    const superseded = newestVerified !== undefined && backup.startedAt < newestVerified.startedAt
    const byPolicy =
      backup.startedAt > now
        ? ["started in the future: a clock is wrong"]
        : backup.state === "verified"
          ? (keptByRules.get(backup) ?? [])
          : unprovenKept(backup, superseded, rules, now)
    const because = backup.isPinned ? ["pinned", ...byPolicy] : byPolicy
    return because.length > 0
      ? { backup, keep: true, because }
      : { backup, keep: false, because: [removable[backup.state]] }
  })
}

const removable: Record<BackupState, string> = {
  verified: "no rule keeps it",
  unverified: "never verified, and a newer backup is",
  failed: "found damaged, and a newer backup is verified",
}

/** The reasons to keep each of the verified backups, `newestFirst`; no entry for one that no rule keeps. */
function applyRules<Backup extends DatedBackup>(
  newestFirst: readonly Backup[],
  { keepLast = 0, keepDays, ...rules }: RetentionPolicy,
  now: Date,
): Map<Backup, string[]> {
  const reasons = new Map<Backup, string[]>()
  const keep = (backup: Backup, reason: string) => {
    reasons.set(backup, [...(reasons.get(backup) ?? []), reason])
  }

  for (const backup of newestFirst.slice(0, 1)) keep(backup, "the newest verified backup is never removed")
  for (const backup of newestFirst.slice(0, keepLast)) keep(backup, `last ${keepLast}`)
  for (const backup of newestFirst) for (const reason of young(backup, keepDays, now)) keep(backup, reason)
  for (const [name, count = 0, periodOf] of [
    ["hourly", rules.keepHourly, hourOf],
    ["daily", rules.keepDaily, dayOf],
    ["weekly", rules.keepWeekly, weekOf],
    ["monthly", rules.keepMonthly, monthOf],
    ["yearly", rules.keepYearly, yearOf],
  ] as const) {
    const byPeriod = Map.groupBy(newestFirst, ({ startedAt }) => periodOf(startedAt))
    for (const [period, backups] of [...byPeriod].slice(0, count)) {
      const [newest] = backups
      const chosen = backups.reduce((best, one) => (rankOf(one) < rankOf(best) ? one : best))
      keep(chosen, `${name} ${period}${chosen === newest ? "" : `, ${chosen.proof}`}`)
    }
  }
  return reasons
}

function rankOf({ proof = "verified" }: DatedBackup): number {
  return proofs.indexOf(proof)
}

/** The reasons to keep a backup that is not verified; `superseded` where a newer one is. */
function unprovenKept(
  backup: DatedBackup,
  superseded: boolean,
  { keepDays }: RetentionPolicy,
  now: Date,
): string[] {
  if (backup.state === "failed")
    return superseded ? [] : ["found damaged, but nothing newer is verified: part of it may be all there is"]
  const waiting = superseded ? [] : ["not verified yet, and nothing newer is"]
  return [...waiting, ...young(backup, keepDays, now)]
}

function young({ startedAt }: DatedBackup, days: number | undefined, now: Date): string[] {
  if (days === undefined || now.getTime() - startedAt.getTime() >= days * dayMs) return []
  return [days === 1 ? "younger than 1 day" : `younger than ${days} days`]
}

const dayMs = 24 * 60 * 60 * 1000

/** "2026-02-01T03". */
const hourOf = (time: Date) => time.toISOString().slice(0, 13)
const dayOf = (time: Date) => time.toISOString().slice(0, 10)
const monthOf = (time: Date) => time.toISOString().slice(0, 7)
const yearOf = (time: Date) => time.toISOString().slice(0, 4)

/** "2026-W53". A week belongs to the year that its Thursday lies in (ISO 8601). */
function weekOf(time: Date): string {
  const midnight = Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate())
  const daysAfterMonday = (time.getUTCDay() + 6) % 7
  const thursday = new Date(midnight + (3 - daysAfterMonday) * dayMs)
  const newYear = Date.UTC(thursday.getUTCFullYear(), 0, 1)
  const week = 1 + Math.floor((thursday.getTime() - newYear) / (7 * dayMs))
  return `${yearOf(thursday)}-W${String(week).padStart(2, "0")}`
}
