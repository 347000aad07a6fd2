import { formatCount } from "../console/format.ts"
import type { RetentionPolicy } from "../core/retention.ts"

/** "2026-01-02 03:00", in UTC. */
export function minuteOf(time: string): string {
  return time.slice(0, 16).replace("T", " ")
}

/** "0:03:05": hours, minutes, seconds. */
export function clockOf(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (value: number) => String(value).padStart(2, "0")
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`
}

/** Made once, since there may be ten thousand numbers. */
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

/** "12,345,678". */
export function formatWhole(value: number): string {
  return whole.format(value)
}

/** "$0.02", "$1.23", "$1,234". */
export function formatDollars(dollars: number): string {
  if (dollars > 0 && dollars < 0.01) return "under $0.01"
  return `$${dollars.toLocaleString("en-US", { minimumFractionDigits: dollars < 100 ? 2 : 0, maximumFractionDigits: dollars < 100 ? 2 : 0 })}`
}

/** A column's unit, one for all of its numbers, so that they can be compared and sorted as they stand. */
export type Unit = { readonly name: string; of: (bytes: number) => string }

/** @param most the largest number of bytes in the column */
export function unitFor(most: number): Unit {
  const names = ["KiB", "MiB", "GiB", "TiB"]
  const power = Math.min(
    names.length,
    Math.max(1, Math.floor(Math.log(Math.max(1, most) / 10) / Math.log(1024))),
  )
  const divisor = 1024 ** power
  return { name: names[power - 1] ?? "KiB", of: (bytes) => (bytes / divisor).toFixed(1) }
}

const rules = [
  ["keepLast", "the last"],
  ["keepDays", "days"],
  ["keepHourly", "hourly"],
  ["keepDaily", "daily"],
  ["keepWeekly", "weekly"],
  ["keepMonthly", "monthly"],
  ["keepYearly", "yearly"],
] as const satisfies readonly (readonly [keyof RetentionPolicy, string])[]

/** "the last 3, 7 daily, 4 weekly". */
export function policyInWords(policy: RetentionPolicy): string {
  return rules
    .flatMap(([rule, words]) => {
      const count = policy[rule]
      if (count === undefined) return []
      return [
        rule === "keepLast"
          ? `${words} ${count}`
          : rule === "keepDays"
            ? `all of ${formatCount(count, "day")}`
            : `${count} ${words}`,
      ]
    })
    .join(", ")
}

/** "+3 % in 30 days": how much the newest value differs from the last one that is so many days older. */
export function changeInWords(
  values: readonly { readonly at: string; readonly value: number }[],
  days: number,
): string | null {
  const [newest] = values
  if (newest === undefined) return null
  const before = values.find(({ at }) => Date.parse(newest.at) - Date.parse(at) >= days * 86_400_000)
  if (before === undefined || before.value <= 0) return null
  const percent = Math.round(100 * (newest.value / before.value - 1))
  return `${percent > 0 ? "+" : percent < 0 ? "−" : "±"}${Math.abs(percent)} % in ${days} days`
}
