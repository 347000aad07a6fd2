import { dirname, resolve } from "node:path"
import * as z from "zod"
import type { Connection } from "../config/connection-schema.ts"
import { parseJson } from "../config/parse-json.ts"
import { type SettingsFile, settingsSchema } from "../config/settings-schema.ts"
import { withoutEffect } from "../config/without-effect.ts"
import { listWrong } from "../config/wrong-settings.ts"
import { chooseDatabases } from "../core/choose-databases.ts"
import { nearest } from "../core/nearest.ts"
import { codeOf, makeReadable, PgstowError } from "../errors.ts"
import { openRegularFile } from "../open-regular-file.ts"
import type { FileSettings } from "./config.ts"

type Entry = SettingsFile["databases"][number]
export type Webhook = SettingsFile["notifications"]["webhooks"][number]

/** One entry of a file of settings: a database, or a server with all of its databases. */
export type ConfiguredDatabase = {
  readonly name: string
  readonly all: boolean
  /** With `all`: patterns of the databases that it is not about. */
  readonly exclude: readonly string[]
  readonly connection: Connection
  readonly restoreConnection: Connection
  readonly webhooks: readonly Webhook[]
  /** When, as it was written; undefined where the file does not say. */
  readonly schedule: string | undefined
  readonly timeZone: string | undefined
  /** What the file says beside that. */
  readonly settings: FileSettings
}

export type ConfigFile = {
  readonly path: string
  /** At least one. */
  readonly databases: readonly ConfiguredDatabase[]
  /** The paths of settings in it that have no effect on this machine. */
  readonly idle: readonly string[]
}

/** Reads a file of settings. Throws a usage error that names every wrong setting by its path. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const json = parseJson(await textOf(path), path)
  const file = settingsIn(json, path)
  return {
    path,
    databases: file.databases.map((entry, index) => ({
      ...configured(entry, file, path),
      ...written.safeParse(json).data?.databases[index],
    })),
    idle: withoutEffect(json, "machine"),
  }
}

/** What settings of the file at `path` say. Throws a usage error that names every wrong one by its path. */
export function settingsIn(json: unknown, path: string): SettingsFile {
  const parsed = settingsSchema.safeParse(json)
  if (!parsed.success) {
    const wrong = listWrong(parsed.error, "machine")
    const [example] = wrong.flatMap(({ example }) => example ?? [])
    throw new PgstowError(
      "usage",
      `${path}: ${wrong.map(({ where, what }) => `${where}: ${what}`).join("; ")}`,
      {
        hint: example === undefined ? undefined : `Write it like ${example}.`,
      },
    )
  }
  const file = parsed.data
  if (file.databases.length === 0)
    throw new PgstowError("usage", `${path} names no database`, {
      hint: 'Write it like "databases": [{ "name": "orders", "connection": { "urlEnv": "ORDERS_URL" } }].',
    })
  return file
}

/** What a default would hide. */
const written = z.object({
  databases: z.array(z.object({ schedule: z.string().optional(), timeZone: z.string().optional() })),
})

async function textOf(path: string): Promise<string> {
  try {
    const handle = await openRegularFile(path, { followLink: true })
    try {
      return await handle.readFile("utf8")
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (codeOf(cause) === "ENOENT")
      throw new PgstowError("usage", `there is no file ${path}`, {
        hint: "Give --config (PGSTOW_CONFIG) the name of your file of settings; `pgstow init` writes one.",
      })
    throw new PgstowError("usage", `the settings in ${path} can't be read`, { cause, hint: makeReadable })
  }
}

function configured(entry: Entry, file: SettingsFile, path: string): ConfiguredDatabase {
  const { name, all, exclude, connection, restoreConnection = connection } = entry
  const place = (relative: string) => resolve(dirname(path), relative)
  const storage = (entry.storages ?? file.storages)?.map((url) => (/^\.{1,2}\//.test(url) ? place(url) : url))
  const identity = entry.identity ?? file.identity
  const signingKey = entry.signingKey ?? file.signingKey
  const keyOf = (key: { readonly file: string } | { readonly secret: string }) =>
    "file" in key ? place(key.file) : `secretsmanager:${key.secret}`
  const recipient = entry.recipients ?? (entry.unencrypted === true ? [] : file.recipients)
  const unencrypted = entry.unencrypted ?? (entry.recipients === undefined ? file.unencrypted : false)
  const named = (reached: Connection): Connection => {
    if ("urlFile" in reached) return { ...reached, urlFile: place(reached.urlFile), ...caIn(reached) }
    return { ...reached, ...caIn(reached) }
  }
  const caIn = (reached: Connection) =>
    "caFile" in reached && reached.caFile !== undefined ? { caFile: place(reached.caFile) } : {}
  const { webhooks } = entry.notifications ?? file.notifications
  return {
    name,
    all,
    exclude,
    schedule: undefined,
    timeZone: undefined,
    connection: named(connection),
    restoreConnection: named(restoreConnection),
    webhooks: webhooks.map((one) => ("urlFile" in one ? { ...one, urlFile: place(one.urlFile) } : one)),
    settings: {
      file: path,
      values: {
        name: all ? undefined : name,
        all,
        exclude,
        storage,
        recipient,
        unencrypted,
        identity: identity === undefined || typeof identity === "string" ? undefined : keyOf(identity),
        signingKey: signingKey && keyOf(signingKey),
        signedBy: entry.signedBy ?? file.signedBy,
        table: entry.tables,
        schema: entry.schemas,
        excludeTable: entry.excludeTables,
        excludeSchema: entry.excludeSchemas,
        excludeTableData: entry.excludeTableData,
        jobs: entry.jobs ?? file.jobs,
        compressLevel: entry.compressLevel ?? file.compressLevel,
        exec: entry.exec ?? file.exec,
        tunnel: entry.tunnel ?? file.tunnel,
        cleanup: entry.cleanup ?? file.cleanup,
        maxAgeHours: entry.maxAgeHours,
        ...(entry.retention ?? file.retention),
      },
    },
  }
}

/** An entry, and the database that is meant of it, where that is one of a server's. */
export type ChosenDatabase = { readonly entry: ConfiguredDatabase; readonly ofServer: string | undefined }

/** The entries of those names, or all. Throws a usage error for a name that the file does not have. */
export function chooseConfigured(
  { path, databases }: Pick<ConfigFile, "path" | "databases">,
  names: readonly string[],
): ChosenDatabase[] {
  if (names.length === 0) return databases.map((entry) => ({ entry, ofServer: undefined }))
  return [...new Set(names)].map((wanted) => {
    const entry = databases.find(({ name }) => name === wanted)
    if (entry) return { entry, ofServer: undefined }
    const server = databases.find(
      ({ all, exclude }) => all && chooseDatabases([wanted], { include: [], exclude }).length > 0,
    )
    if (server) return { entry: server, ofServer: wanted }
    const all = databases.map(({ name }) => name)
    const near = nearest(wanted, all, (name) => name)
    throw new PgstowError("usage", `there is no database ${JSON.stringify(wanted)} in ${path}`, {
      hint: `${near.length > 0 ? `Is ${near.join(" or ")} meant? There` : "There"} ${all.length === 1 ? "is" : "are"} ${all.join(", ")}.`,
    })
  })
}
