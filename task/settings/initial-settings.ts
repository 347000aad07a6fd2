/** What `pgstow init` asks, one function an answer: each gives what goes into the file, or throws what is wrong. */

import { randomUUID } from "node:crypto"
import { link, rm, writeFile } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import type { Connection } from "../config/connection-schema.ts"
import { connectionSchema } from "../config/connection-schema.ts"
import { sharedDatabaseShape } from "../config/database-schema.ts"
import { type RetentionPolicy, retentionPolicySchema } from "../core/retention.ts"
import { codeOf, PgstowError } from "../errors.ts"
import { connectionFrom } from "../postgres/connection.ts"
import { openStorage } from "../storage/open-storage.ts"

/** Where the URL of the database is: a variable's name, a file's path, "service:NAME", or a URL without a password. */
export function connectionAnswer(text: string): Connection {
  const answer = text.trim()
  const [, service] = /^service[:=](\S+)$/.exec(answer) ?? []
  const given = /^[A-Za-z_][A-Za-z0-9_]*$/.test(answer)
    ? { urlEnv: answer }
    : service !== undefined
      ? { service }
      : /^\.{0,2}\//.test(answer)
        ? { urlFile: resolve(answer) }
        : { url: answer }
  const parsed = connectionSchema.safeParse(given)
  if ("url" in given) {
    if (!parsed.success)
      throw wrong(
        answer === ""
          ? "nothing was given"
          : "the URL holds a password, which does not belong into this file",
        "Export the URL as a variable, ORDERS_URL for instance, and give the variable's name.",
      )
    connectionFrom({ databaseUrl: answer })
  }
  if (!parsed.success) throw wrong("that names no URL", sourceHint)
  return parsed.data
}

const sourceHint =
  "Give the name of a variable, the path of a file that begins with / or ./, or service:NAME."

/** The name that a database is kept under, by the URL that connects to it. */
export function nameFor(databaseUrl: unknown): string {
  const name = typeof databaseUrl === "string" ? connectionFrom({ databaseUrl }).params.dbname : undefined
  const usable = (name ?? "")
    .replaceAll(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 40)
  return usable === "" ? "main" : usable
}

/** The name that was asked for, where it can be one. */
export function checkName(name: string): string {
  const parsed = sharedDatabaseShape.name.safeParse(name)
  if (parsed.success) return parsed.data
  throw wrong(
    `--name (PGSTOW_NAME) ${parsed.error.issues[0]?.message ?? "is wrong"}`,
    "Give another name, or leave it out to take the database's own.",
  )
}

/** Storages, separated by spaces. */
export function storagesAnswer(text: string, env: Readonly<Record<string, string | undefined>>): string[] {
  const storages = storagesIn(text)
  if (storages.length === 0)
    throw wrong("no storage was given", "Write s3://my-bucket/backups or file:///var/backups/pgstow.")
  for (const url of storages) openStorage(url, { env }).close()
  return storages
}

/** Relative folders are meant from where they were typed, not from where the file is. */
export function storagesIn(text: string): string[] {
  const urls = text.split(/\s+/).filter((url) => url !== "")
  return urls.map((url) => (/^\.{1,2}\//.test(url) ? resolve(url) : url))
}

/** A time of day as the stack's schedule has it. */
export function scheduleAnswer(text: string): string {
  const [, hour, minute] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text.trim()) ?? []
  if (hour === undefined) throw wrong(`${JSON.stringify(text)} is not a time of day`, "Write it like 03:00.")
  return `cron(${Number(minute)} ${Number(hour)} * * ? *)`
}

const rules = {
  last: "keepLast",
  days: "keepDays",
  hourly: "keepHourly",
  daily: "keepDaily",
  weekly: "keepWeekly",
  monthly: "keepMonthly",
  yearly: "keepYearly",
} as const

export const retentionRules = Object.values(rules)

/** "7 daily, 5 weekly, 12 monthly", "30 days", "last 10"; undefined for all. */
export function retentionAnswer(text: string): RetentionPolicy | undefined {
  const answer = text.trim().toLowerCase()
  if (answer === "all") return undefined
  const hint = 'Write it like "7 daily, 5 weekly, 12 monthly", "30 days" or "last 10"; "all" removes nothing.'
  const policy: Record<string, number> = {}
  for (const part of answer.split(/\s*,\s*/)) {
    const [, before, word = "", after] = /^(?:(\d+)\s+)?([a-z]+)(?:\s+(\d+))?$/.exec(part) ?? []
    const rule = Object.entries(rules).find(([name]) => name === word)?.[1]
    const count = before ?? after
    if (rule === undefined || count === undefined || (before !== undefined && after !== undefined))
      throw wrong(`${JSON.stringify(part)} is no rule of what to keep`, hint)
    if (rule in policy) throw wrong(`${JSON.stringify(word)} is said twice`, hint)
    policy[rule] = Number(count)
  }
  const parsed = retentionPolicySchema.safeParse(policy)
  if (!parsed.success) throw wrong(`what to keep ${parsed.error.issues[0]?.message ?? "is wrong"}`, hint)
  return parsed.data
}

/** Writes the settings, all at once and never over what is there. */
export async function writeNewFile(file: string, settings: object): Promise<void> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomUUID()}.tmp`)
  try {
    await writeFile(temporary, `${JSON.stringify(settings, null, 2)}\n`, {
      flag: "wx",
      mode: 0o644,
      flush: true,
    })
    // Unlike a renaming, it fails where there is one.
    await link(temporary, file)
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") throw existsAlready(file, "--out")
    throw new PgstowError("usage", `${file} can't be written`, {
      cause,
      hint: "Give --out a file in a folder that exists and that you may write to.",
    })
  } finally {
    await rm(temporary, { force: true }).catch(() => {})
  }
}

export function existsAlready(file: string, flag: string): PgstowError {
  return wrong(`${file} exists already`, `Give another file by ${flag}, or change that one by hand.`)
}

function wrong(message: string, hint: string): PgstowError {
  return new PgstowError("usage", message, { hint })
}
