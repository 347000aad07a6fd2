import { readFile, stat } from "node:fs/promises"
import * as z from "zod"
import type { Connection } from "../config/connection-schema.ts"
import type { Context } from "../context.ts"
import { makeReadable, messageOf, PgstowError } from "../errors.ts"
import type { ReadSecret } from "../keys/aws-secret.ts"
import type { SettingName } from "./config.ts"
import type { ConfiguredDatabase, Webhook } from "./read-config-file.ts"

type Surroundings = Pick<Context, "env" | "log"> & { readonly readSecret: ReadSecret }

/**
 * What the settings of a connection come to: the URL, and how the server is verified. `where` names the database and the
 * file, for messages. Throws a PgstowError that never holds what was read.
 */
export async function connectionSettings(
  connection: Connection,
  where: string,
  { env, log, readSecret }: Surroundings,
): Promise<Partial<Record<SettingName, unknown>>> {
  if ("urlEnv" in connection) {
    const databaseUrl = env[connection.urlEnv] ?? ""
    if (databaseUrl === "")
      throw new PgstowError("usage", `${connection.urlEnv} is not set, and is the connection of ${where}`, {
        hint: `Export ${connection.urlEnv}=postgresql://user:password@host/database, or put it into .env.`,
      })
    return { databaseUrl, caFile: connection.caFile }
  }
  if ("urlFile" in connection) {
    const databaseUrl = await textOf(connection.urlFile, `the connection of ${where}`, log.warn)
    return { databaseUrl, caFile: connection.caFile }
  }
  if ("service" in connection) return { databaseUrl: pairs({ service: connection.service }) }
  if ("url" in connection) return { databaseUrl: connection.url, caFile: connection.caFile }

  const ca = connection.caSecret === undefined ? undefined : await readSecret(connection.caSecret)
  if ("urlSecret" in connection) return { databaseUrl: (await readSecret(connection.urlSecret)).trim(), ca }
  const sslmode = ca === undefined ? "require" : "verify-full"
  if ("iamUser" in connection) {
    const { iamUser, host, port, database } = connection
    return {
      databaseUrl: pairs({ host, port: String(port), user: iamUser, dbname: database, sslmode }),
      rdsIam: true,
      ca,
    }
  }
  const { rdsSecret, host, port, database } = connection
  const login = loginIn(await readSecret(rdsSecret), rdsSecret)
  return {
    databaseUrl: pairs({
      host: host ?? login.host,
      // A secret without a host has no port either: RDS's own hold the user alone.
      port: String(port ?? (host === undefined ? login.port : undefined) ?? 5432),
      user: login.username,
      password: login.password,
      dbname: database ?? login.dbname,
      sslmode,
    }),
    ca,
  }
}

/** The channels as PGSTOW_NOTIFY has them. One without a URL that can be used is left out with a warning: no backup fails by it. */
export async function channelTexts(
  { webhooks, settings: { file } }: ConfiguredDatabase,
  surroundings: Surroundings,
): Promise<string[]> {
  const texts: string[] = []
  for (const webhook of webhooks) {
    try {
      const { level, format } = webhook
      const options = [`level=${level}`, ...(format === undefined ? [] : [`format=${format}`])]
      const url = await webhookUrl(webhook, surroundings)
      if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "") || /\s/.test(url))
        throw new PgstowError("usage", `${placeOf(webhook)} is not an http URL`)
      texts.push(`${options.join(",")},${url}`)
    } catch (error) {
      if (!(error instanceof PgstowError)) throw error
      surroundings.log.warn(`a webhook of ${file} is left out: ${messageOf(error)}`)
    }
  }
  return texts
}

function placeOf(webhook: Webhook): string {
  if ("urlEnv" in webhook) return webhook.urlEnv
  return "urlFile" in webhook ? webhook.urlFile : `the secret ${webhook.secret}`
}

async function webhookUrl(webhook: Webhook, { env, log, readSecret }: Surroundings): Promise<string> {
  if ("urlFile" in webhook) return textOf(webhook.urlFile, "its URL", log.warn)
  if ("secret" in webhook) return (await readSecret(webhook.secret)).trim()
  const url = env[webhook.urlEnv] ?? ""
  if (url !== "") return url
  throw new PgstowError("usage", `${webhook.urlEnv} is not set`, { hint: "Export it, or put it into .env." })
}

async function textOf(file: string, what: string, warn: (message: string) => void): Promise<string> {
  try {
    const text = (await readFile(file, "utf8")).trim()
    if (((await stat(file)).mode & 0o077) !== 0)
      warn(`${file} holds a secret, and others can read it: chmod 600 ${file}`)
    if (text !== "") return text
  } catch (cause) {
    throw new PgstowError("usage", `${file}, which holds ${what}, can't be read`, {
      cause,
      hint: makeReadable,
    })
  }
  throw new PgstowError("usage", `${file}, which holds ${what}, is empty`, { hint: "Write the URL into it." })
}

/** What RDS writes into a secret: numbers as text or not. */
const login = z.object({
  username: z.string(),
  password: z.string(),
  host: z.string().optional(),
  port: z.union([z.string(), z.number()]).optional(),
  dbname: z.string().optional(),
})

function loginIn(text: string, secret: string): z.output<typeof login> {
  try {
    const json: unknown = JSON.parse(text)
    const parsed = login.safeParse(json)
    if (parsed.success) return parsed.data
  } catch {
    // Its text may hold the password, and so may what JSON.parse says.
  }
  throw new PgstowError("usage", `the secret ${secret} is not JSON with username and password`, {
    hint: 'RDS writes it like { "username": "…", "password": "…" }; for a URL, write urlSecret.',
  })
}

/** As libpq reads keyword=value. */
function pairs(settings: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(settings)
    .flatMap(([keyword, value]) =>
      value === undefined ? [] : [`${keyword}='${value.replaceAll(/['\\]/g, "\\$&")}'`],
    )
    .join(" ")
}
