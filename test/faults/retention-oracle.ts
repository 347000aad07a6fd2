import type { ForgedState } from "./forge.ts"

export type Policy = {
  readonly last?: number
  readonly days?: number
  readonly hourly?: number
  readonly daily?: number
  readonly weekly?: number
  readonly monthly?: number
  readonly yearly?: number
}

export type Dated = { readonly id: string; readonly startedAt: Date; readonly state: ForgedState }

const dayMs = 24 * 60 * 60 * 1000

/**
 * What the documents promise to keep, said again in another way: each backup is asked by itself whether a rule keeps
 * it, by counting what is newer.
 */
export function keptBy(policy: Policy, backups: readonly Dated[], now: Date): Set<string> {
  const good = backups.filter(({ state, startedAt }) => state === "verified" && startedAt <= now)
  const isNewer = (a: Dated, b: Dated) =>
    a.startedAt > b.startedAt || (a.startedAt.getTime() === b.startedAt.getTime() && a.id > b.id)
  const newer = (than: Dated) => good.filter((one) => isNewer(one, than))
  const isYoung = ({ startedAt }: Dated) =>
    policy.days !== undefined && now.getTime() - startedAt.getTime() < policy.days * dayMs
  const isNewestOfPeriod = (backup: Dated, periodOf: (time: Date) => string, count: number) => {
    const period = periodOf(backup.startedAt)
    if (newer(backup).some((one) => periodOf(one.startedAt) === period)) return false
    return new Set(newer(backup).map((one) => periodOf(one.startedAt))).size < count
  }
  return new Set(
    backups
      .filter((backup) => {
        if (backup.startedAt > now) return true
        const newerGood = newer(backup).length
        // Of those of one second it is not known which is newer: what is not proven stays.
        const isLeftBehind = good.some((one) => one.startedAt > backup.startedAt)
        if (backup.state === "failed") return !isLeftBehind
        if (backup.state === "unverified") return !isLeftBehind || isYoung(backup)
        return (
          newerGood === 0 ||
          newerGood < (policy.last ?? 0) ||
          isYoung(backup) ||
          isNewestOfPeriod(backup, hourOf, policy.hourly ?? 0) ||
          isNewestOfPeriod(backup, dayOf, policy.daily ?? 0) ||
          isNewestOfPeriod(backup, weekOf, policy.weekly ?? 0) ||
          isNewestOfPeriod(backup, monthOf, policy.monthly ?? 0) ||
          isNewestOfPeriod(backup, yearOf, policy.yearly ?? 0)
        )
      })
      .map(({ id }) => id),
  )
}

/** Hours since 1970. */
const hourOf = (time: Date) => String(Math.floor(time.getTime() / (60 * 60 * 1000)))
const dayOf = (time: Date) => time.toISOString().slice(0, 10)
const monthOf = (time: Date) => time.toISOString().slice(0, 7)
const yearOf = (time: Date) => time.toISOString().slice(0, 4)

/** The Monday that the week begins with: ISO weeks differ by it. */
function weekOf(time: Date): string {
  const midnight = new Date(`${dayOf(time)}T00:00:00Z`)
  return dayOf(new Date(midnight.getTime() - ((midnight.getUTCDay() + 6) % 7) * dayMs))
}
