const months = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
const weekdays = "SUN|MON|TUE|WED|THU|FRI|SAT"

/** The fields of EventBridge's cron, in order. `also`: what a field may hold beside numbers, lists and ranges. */
const cronFields = [
  { name: "minutes", lowest: 0, highest: 59 },
  { name: "hours", lowest: 0, highest: 23 },
  { name: "day of month", lowest: 1, highest: 31, also: /^(\?|L|LW|([1-9]|[12]\d|3[01])W)$/ },
  { name: "month", lowest: 1, highest: 12, names: months },
  { name: "day of week", lowest: 1, highest: 7, names: weekdays, also: /^(\?|L|[1-7]L|[1-7]#[1-5])$/ },
  { name: "year", lowest: 1970, highest: 2199 },
] as const

const example = "cron(0 3 * * ? *)"

/**
 * What is wrong with an EventBridge schedule expression, in words that say what to write; undefined where
 * nothing is. The grammar: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
 */
export function problemOfSchedule(expression: string): string | undefined {
  const rate = /^rate\(([1-9]\d*) (minute|hour|day)(s?)\)$/.exec(expression)
  if (rate) {
    const plural = rate[3] === "s"
    if ((rate[1] === "1") === plural) return `must be "${rate[2]}${plural ? "" : "s"}" after ${rate[1]}`
    return undefined
  }
  const cron = /^cron\((.*)\)$/.exec(expression)
  const fields = (cron?.[1] ?? expression).trim().split(/\s+/)
  if (!cron) {
    if (fields.length === 5) return `looks like cron of five fields; EventBridge's has six, like ${example}`
    return `must be cron(…) or rate(…), like ${example} or rate(6 hours)`
  }
  if (fields.length !== cronFields.length)
    return `must have six fields (${cronFields.map(({ name }) => name).join(", ")}), like ${example}`
  for (const [index, field] of cronFields.entries()) {
    const value = fields[index] ?? ""
    if (!isCronField(value, field)) return `has ${JSON.stringify(value)} for its ${field.name}`
  }
  if ((fields[2] === "?") === (fields[4] === "?"))
    return `must have ? for one of day of month and day of week, like ${example}`
  return undefined
}

/** Whether a valid expression fires at least once on every day. */
export function isDaily(expression: string): boolean {
  const rate = /^rate\((\d+) (minute|hour|day)/.exec(expression)
  if (rate) {
    const minutes = { minute: 1, hour: 60, day: 24 * 60 }[rate[2] ?? ""] ?? Number.POSITIVE_INFINITY
    return Number(rate[1]) * minutes <= 24 * 60
  }
  const [, , ...days] = expression.replace(/^cron\((.*)\)$/, "$1").split(/\s+/)
  return days.every((field) => field === "*" || field === "?")
}

/**
 * The hours between two firings of a valid expression, the longest where they differ; undefined where that takes a
 * calendar. A month counts as 31 days.
 */
export function rhythmHours(expression: string): number | undefined {
  const [, count, unit = ""] = /^rate\((\d+) (minute|hour|day)/.exec(expression) ?? []
  if (count !== undefined) return Number(count) * ({ minute: 1 / 60, hour: 1, day: 24 }[unit] ?? 0)
  const [, hours = "", dayOfMonth = "", month, dayOfWeek = "", year] = expression
    .replace(/^cron\((.*)\)$/, "$1")
    .trim()
    .split(/\s+/)
  if (month !== "*" || year !== "*") return undefined
  if (isDaily(expression)) return hours === "*" ? 1 : 24
  if (dayOfMonth === "?" && /^([1-7]|[A-Z]{3})$/.test(dayOfWeek)) return 7 * 24
  if (dayOfWeek === "?" && /^(\d+|L)$/.test(dayOfMonth) && Number(dayOfMonth.replace("L", "1")) <= 28)
    return 31 * 24
  return undefined
}

type CronField = {
  readonly lowest: number
  readonly highest: number
  readonly names?: string
  readonly also?: RegExp
}

function isCronField(text: string, { lowest, highest, names, also }: CronField): boolean {
  if (also?.test(text)) return true
  const one = names === undefined ? "\\d+" : `\\d+|${names}`
  const item = new RegExp(`^(?:\\*|(${one})(?:-(${one}))?)(?:/([1-9]\\d*))?$`)
  return text.split(",").every((part) => {
    const found = item.exec(part)
    if (!found) return false
    return [found[1], found[2]]
      .filter((value) => value !== undefined && /^\d+$/.test(value))
      .every((value) => Number(value) >= lowest && Number(value) <= highest)
  })
}
