import * as z from "zod"
import { PgstowError } from "../errors.ts"
import { startChild } from "../processes/child.ts"
import { ExecError } from "../processes/far-side.ts"
import type { Prefix } from "../processes/program.ts"
import type { Clients } from "./clients.ts"
import { type Connection, childEnv, conninfo, describe, type Environment } from "./connection.ts"
import { connectionFailure, refusesSettings } from "./connection-failure.ts"
import { converse, QueryError } from "./conversation.ts"
import { hasSeveralHosts, withHost } from "./one-host.ts"
import { type Settings, settingsOfEach } from "./session-settings.ts"
import { whileStarting } from "./while-starting.ts"

/** A connection that stays open, by one psql. */
export type Session = {
  /** With the settings for every session of the same user with this server, as far as it takes them. */
  readonly connection: Connection
  /** The major version of the server: 17. */
  readonly serverMajor: number
  /**
   * The rows of one SELECT, each an object by column names, as PostgreSQL makes JSON of it: an int8 beyond 2^53
   * loses digits unless it is cast to text. Rejects with a QueryError where the server refuses it.
   */
  query(sql: string): Promise<unknown[]>
  /** Runs one statement, whatever it returns. Rejects with a QueryError where the server refuses it. */
  execute(sql: string): Promise<void>
  /** Aborted when the connection is lost, with the PgstowError that every pending and later query rejects with. */
  readonly lost: AbortSignal
  /** Ends the session and what is open in it. Never rejects. */
  close(): Promise<void>
}

export type SessionOptions = {
  readonly env: Environment
  /** Ends the session at once. */
  readonly signal?: AbortSignal | undefined
  /** What it has from its start beside the settings of each session, where the connection has none yet. */
  readonly settings?: Settings | undefined
  /** How often an idle connection is tried, since nothing else would notice its loss. */
  readonly heartbeatSeconds?: number
}

/** How often a session is begun whose first statement is ended by a time limit. */
const mostBeginnings = 5

/** Its settings are known to every server. */
const oldestMajor = 13

/**
 * Connects. Its settings are made as it starts, so that no time limit and nothing that role, database or server set
 * gets in its way. Where a pooler takes no settings, it has none, since the pooler would hand them on to its next
 * user: set what a transaction needs by SET LOCAL. A server that is starting is waited for, two minutes at most.
 *
 * Opens the connection's tunnel, where it has one and that is not open yet.
 *
 * Rejects with a PgstowError of kind "postgres" that says why there is no session; then no psql is left.
 */
export async function openSession(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  options: SessionOptions,
): Promise<Session> {
  const { tunnel } = connection
  if (tunnel === undefined) return connect(clients, connection, options)
  await tunnel.open(options.signal)
  try {
    return await connect(clients, connection, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw await tunnel.explain(error)
  }
}

async function connect(
  clients: Pick<Clients, "psql">,
  connection: Connection,
  options: SessionOptions,
): Promise<Session> {
  const begin = async (wanted: Settings): Promise<Session> => {
    let settings = wanted
    for (let count = 1; ; count++)
      try {
        return await whileStarting(
          () => beginSession(clients, { ...connection, settings }, options),
          options.signal,
        )
      } catch (error) {
        if (!isOfTimeLimit(error) || count === mostBeginnings) throw error
        // A limit that has ended the session is one that this server knows.
        if (Object.keys(settings).length > 0) settings = { ...settings, ...withoutLimit(error) }
      }
  }
  if (connection.settings) return begin(connection.settings)
  try {
    return await begin({ ...settingsOfEach(oldestMajor), ...options.settings })
  } catch (error) {
    if (!refusesSettings(error)) throw error
    return begin({})
  }
}

function isOfTimeLimit(error: unknown): error is PgstowError {
  if (error instanceof QueryError) return error.sqlstate === "57014"
  return error instanceof PgstowError && /terminating connection due to [\w-]+ timeout/.test(error.message)
}

/** What switches off the limit that has ended a session, where that is one which only newer servers know. */
function withoutLimit(error: PgstowError): Settings {
  if (error.message.includes("due to idle-session timeout")) return { idle_session_timeout: "0" }
  return error.message.includes("due to transaction timeout") ? { transaction_timeout: "0" } : {}
}

/** Stands for nothing: where it is there, the settings made with it are. Some poolers take them and do nothing. */
const sign = { "pgstow.settings": "made" }

const firstRow = z.tuple([z.object({ major: z.int(), made: z.boolean(), encoding: z.string() })])

/** What only newer servers know can't be set before the version is known, and must not wait for another statement. */
const firstQuery = `
  SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major, made,
         pg_catalog.current_setting('server_encoding') AS encoding,
         ${["idle_session_timeout", "transaction_timeout"]
           .map(
             (name) =>
               `CASE WHEN made AND pg_catalog.current_setting('${name}', true) <> '0'
                     THEN pg_catalog.set_config('${name}', '0', false) END AS ${name}`,
           )
           .join(", ")}
    FROM (SELECT pg_catalog.current_setting('pgstow.settings', true) IS NOT DISTINCT FROM 'made' AS made) AS settings`

async function beginSession(
  clients: Pick<Clients, "psql">,
  connection: Connection & { readonly settings: Settings },
  options: SessionOptions,
): Promise<Session> {
  const { settings } = connection
  const isSet = Object.keys(settings).length > 0
  const signed = isSet ? { ...connection, settings: { ...settings, ...sign } } : connection
  const psql = startChild(
    {
      ...clients.psql,
      args: ["-XAtqw", "-d", conninfo(signed, { client_encoding: "UTF8" })],
      env: childEnv(signed, options.env),
    },
    { stdin: "pipe", stdout: "pipe", signal: options.signal, onStderr: (line) => conversation.hear(line) },
  )
  const lost = new AbortController()
  let state: "connecting" | "open" | "closing" = "connecting"
  const { prefix } = clients.psql
  const giveUp = () => {
    const failure = noAnswer(prefix)
    conversation.end(failure)
    if (state === "open") lost.abort(failure)
    psql.stop()
  }
  const conversation = converse(psql, connection, {
    isBehindPrefix: prefix !== undefined,
    comesWithinMs: 1_000 * (prefix?.startsWithinSeconds ?? 60),
    onLoss: giveUp,
  })
  const failureOf = (error: unknown): unknown => {
    if (state === "closing")
      return new PgstowError("postgres", `the session of ${describe(connection)} is closed`)
    if (options.signal?.aborted) return options.signal.reason
    if (psql.pid === undefined || error instanceof ExecError) return error
    const failed = state === "connecting" ? "could not connect to" : "lost the connection to"
    return connectionFailure(connection, conversation.withoutOwn(psql.stderr()), error, failed)
  }
  const over = psql.ended
    .catch((error: unknown) => error)
    .then((error) => {
      const failure = failureOf(error)
      conversation.end(failure)
      if (state !== "closing") lost.abort(failure)
    })

  const query = async (sql: string) => {
    const wrapped = `SELECT coalesce(pg_catalog.json_agg(pgstow_row), '[]') FROM (\n${sql}\n) AS pgstow_row`
    return z.array(z.unknown()).parse(JSON.parse(await conversation.say(wrapped)))
  }
  const execute = async (sql: string) => void (await conversation.say(sql))

  const close = async () => {
    state = "closing"
    clearInterval(heartbeat)
    psql.stdin.end()
    // In the middle of a statement it does not read the end of its input, and behind a prefix perhaps never.
    if (!conversation.isIdle()) psql.stop()
    const late = setTimeout(() => psql.stop(), closesWithinMs)
    await over
    clearTimeout(late)
  }
  const beat = () => {
    if (conversation.isIdle()) execute("SELECT 1").catch(() => {}) // `lost` says so.
  }
  const heartbeat = setInterval(beat, (options.heartbeatSeconds ?? 20) * 1_000)
  heartbeat.unref()
  lost.signal.addEventListener("abort", () => clearInterval(heartbeat))

  // After psql has begun it may take as long again to connect.
  const limit = prefix ? setTimeout(giveUp, 2_000 * prefix.startsWithinSeconds) : undefined
  try {
    const [{ major, made, encoding }] = firstRow.parse(await query(firstQuery))
    // Its names may be no text at all: the server would refuse to say them. Here they become text that no name is.
    if (encoding === "SQL_ASCII") await execute("SET client_encoding TO 'SQL_ASCII'")
    const reached = hasSeveralHosts(connection) ? withHost(connection, await placeOf(query)) : connection
    state = "open"
    return {
      connection: { ...reached, settings: made ? { ...settings, ...settingsOfEach(major) } : {} },
      serverMajor: major,
      query,
      execute,
      lost: lost.signal,
      close,
    }
  } catch (error) {
    await close()
    throw error
  } finally {
    clearTimeout(limit)
  }
}

/** Where psql is connected to: its own variables say which of several hosts that is. */
async function placeOf(query: Session["query"]): Promise<{ readonly host: string; readonly port: string }> {
  return placeRow.parse(await query("SELECT :'HOST' AS host, :'PORT' AS port"))[0]
}

const placeRow = z.tuple([z.object({ host: z.string(), port: z.string() })])

const closesWithinMs = 5_000

function noAnswer(prefix: Prefix | undefined): ExecError {
  return new ExecError(`no answer of psql came through ${prefix?.words}`, {
    hint: "It must hand on input and output as they are: try by hand with psql behind it.",
  })
}
