import { PgstowError } from "../errors.ts"
import { readConfigFile } from "./read-config-file.ts"

/**
 * The time of day, "03:00" in this machine's time zone, at which a file of settings has its databases backed up; undefined
 * where it does not say. Throws a usage error where that is not one time for all of them.
 */
export async function dailyTimeIn(path: string): Promise<string | undefined> {
  const { databases } = await readConfigFile(path)
  const here = new Intl.DateTimeFormat().resolvedOptions().timeZone
  const times = new Set<string>()
  for (const { name, schedule, timeZone } of databases) {
    if (schedule === undefined) continue
    const [, minute, hour] = /^cron\((\d+) (\d+) (?:\* \* \?|\? \* \*) \*\)$/.exec(schedule) ?? []
    if (minute === undefined || hour === undefined)
      throw cannot(`the schedule of ${name} in ${path} is no time of day`)
    if (timeZone !== undefined && timeZone !== here)
      throw cannot(
        `the schedule of ${name} in ${path} is in the time zone ${timeZone}, and this machine's is ${here}`,
      )
    times.add(`${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`)
  }
  if (times.size > 1)
    throw cannot(`${path} has databases with different schedules (${[...times].join(", ")})`)
  return [...times][0]
}

function cannot(message: string): PgstowError {
  return new PgstowError("usage", message, {
    hint: "Give the time of day for all of them by --at 03:00, or run `pgstow schedule --run` for each.",
  })
}
