import { formatName } from "../console/format.ts"
import { identifier, literal } from "../core/quote.ts"
import { takesSettings, withSettings } from "../postgres/connection.ts"
import { QueryError } from "../postgres/conversation.ts"
import { readDatabaseSettings } from "../postgres/server.ts"
import type { Session } from "../postgres/session.ts"
import { settingAssignment } from "../postgres/setting-assignment.ts"
import type { RestoreJob } from "./job.ts"

/**
 * Makes sure that what is computed while rows and keys come into `database` is computed by the settings that it was
 * computed by: generated columns, partitions, indexes and views may call functions that ask for the time zone, or for
 * a setting of the application's own, though they say that they don't. Resolves to the job with these settings, and
 * to what the user should know.
 */
export async function keepSettings<Job extends RestoreJob>(
  job: Job,
  database: string,
  { isNew }: { readonly isNew: boolean },
): Promise<{ readonly job: Job; readonly warnings: readonly string[] }> {
  const { target, connection } = job
  const { defaults = {}, settings } = job.manifest.source
  // A new database has its own by now, and no session of it needs them twice.
  const own = isNew ? [] : settings.map(split).filter(([name]) => name.includes("."))
  const session = await target.inside(database)
  const wanted: [string, string][] = []
  for (const [name, value] of [...Object.entries(defaults), ...own])
    if ((await current(session, name)) !== value && (await isTaken(session, name, value)))
      wanted.push([name, value])
  const warnings = isNew ? [] : await leftOut(job, session, database)
  if (wanted.length === 0) return { job, warnings }
  if (takesSettings(connection))
    return { job: { ...job, connection: withSettings(connection, Object.fromEntries(wanted)) }, warnings }
  const what = wanted.map(([name, value]) => `${name}=${value}`)
  return {
    job,
    warnings: [
      ...warnings,
      `the pooler takes no settings with a connection, so what is computed by these may come out otherwise than in the original: ${what.map(formatName).join(", ")}`,
    ],
  }
}

/** A database that exists keeps its own settings: names those of the original that it does not have. */
async function leftOut({ manifest }: RestoreJob, session: Session, database: string): Promise<string[]> {
  const there = new Set(await readDatabaseSettings(session))
  const statements = manifest.source.settings
    .filter((setting) => !there.has(setting))
    .flatMap((setting) => settingAssignment(setting) ?? [])
    .map((assignment) => `ALTER DATABASE ${identifier(database)} SET ${assignment};`)
  if (statements.length === 0) return []
  return [
    `a database that exists keeps its settings; the original's are set by: ${statements.map(formatName).join(" ")}`,
  ]
}

function split(setting: string): [name: string, value: string] {
  const at = setting.indexOf("=")
  return [setting.slice(0, at), setting.slice(at + 1)]
}

async function current(session: Session, name: string): Promise<unknown> {
  const [row] = await session.query(`SELECT pg_catalog.current_setting(${literal(name)}, true) AS value`)
  return typeof row === "object" && row !== null && "value" in row ? row.value : undefined
}

/** Whether a session there can have it: a connection that asks for what is unknown would be refused. */
async function isTaken(session: Session, name: string, value: string): Promise<boolean> {
  const words = identifier(name)
  try {
    await session.execute(`SET ${words} TO ${literal(value)}`)
    await session.execute(`RESET ${words}`)
    return true
  } catch (error) {
    if (error instanceof QueryError) return false
    throw error
  }
}
