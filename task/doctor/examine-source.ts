import * as z from "zod"
import type { Context } from "../context.ts"
import { noPatterns, type TablePatterns } from "../core/table-patterns.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { type Clients, chooseClients, findClients, newestClients } from "../postgres/clients.ts"
import {
  type Connection,
  databaseIn,
  describe,
  describeServer,
  isReachedFromHere,
  takesSettings,
} from "../postgres/connection.ts"
import { refuseTransactionPooler } from "../postgres/pooler.ts"
import { openSession, type Session } from "../postgres/session.ts"
import { takingSystemRoots } from "../postgres/system-roots.ts"
import type { Storage } from "../storage/storage.ts"
import { apartChecks } from "./apart.ts"
import { examineRows } from "./deep.ts"
import type { Finding } from "./finding.ts"
import { briefLimits, carryOut, lookInto } from "./looking.ts"
import { lookupChecks } from "./lookups.ts"
import { choosePatterns } from "./patterns.ts"
import { providerChecks } from "./provider.ts"
import { rightsChecks } from "./rights.ts"
import { readSize, type Size } from "./size.ts"
import { sourceChecks } from "./source.ts"
import { examineTarget } from "./target.ts"
import { readTimeLimits, type TimeLimit, timeLimitFindings } from "./time-limits.ts"
import {
  addressesOf,
  addressFindings,
  isOnThisMachine,
  readTransport,
  transportFindings,
} from "./transport.ts"
import { validityChecks } from "./validity.ts"

export type SourceOptions = {
  readonly connection: Connection
  readonly clientFolders: readonly string[]
  readonly jobs: number | "auto"
  /** What of the database is to be backed up; all of it without. */
  readonly patterns?: TablePatterns | undefined
  /** Whether to look into rows, too. */
  readonly deep: boolean
  /** The server that a restore would go to, and where backups are to be. */
  readonly target?: { readonly connection: Connection; readonly storage: Storage } | undefined
}

/** What was found of a database. */
export type SourceReport = {
  /** Undefined where it was not reached, and nothing says what it is called. */
  readonly database: string | undefined
  readonly findings: readonly Finding[]
  /** Undefined where it was not reached. */
  readonly size: Size | undefined
  /** Where the server keeps its files, if it is known to be this machine's. */
  readonly dataDirectory: string | undefined
  /** The server that was looked at and would take a restore; null where there is none. */
  readonly takenBy: string | null
}

/** Connects to the source and looks into its database. Rejects with nothing but the signal's reason. */
export async function examineSource(options: SourceOptions, context: Context): Promise<SourceReport> {
  const { connection } = options
  try {
    return await examine(options, context)
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    const host = connection.params.host ?? connection.params.hostaddr ?? ""
    const addresses = isReachedFromHere(connection) ? await addressesOf(host) : []
    return {
      database: databaseIn(connection),
      findings: [
        unreached("source.connection", describe(connection), error),
        ...addressFindings({ host, addresses }),
      ],
      size: undefined,
      dataDirectory: undefined,
      takenBy: null,
    }
  }
}

async function examine(options: SourceOptions, context: Context): Promise<SourceReport> {
  const { connection, clientFolders, jobs, patterns = noPatterns, deep, target } = options
  const { env, signal } = context
  const installed = takingSystemRoots(await findClients(context, clientFolders), connection, env)
  const newest = newestClients(installed)
  const session = await openSession(newest, connection, { env, signal })
  try {
    const transport = await readTransport(session, connection, env, newest.major)
    const first = [
      ...clientFindings(installed, session),
      ...transportFindings(transport),
      ...(await findingsOfSecond(newest, session, context)),
    ]
    const { database } = await nameOf(session)
    const report = await lookInto(session, briefLimits, async (looking) => {
      const { chosen, findings: ofPatterns } = await choosePatterns(looking, patterns, database)
      const checks = [
        ...sourceChecks(jobs),
        ...rightsChecks(chosen, patterns),
        ...lookupChecks(database),
        ...validityChecks(database),
        ...apartChecks(database),
        ...providerChecks(database),
      ]
      const findings = [...first, ...ofPatterns, ...(await carryOut(checks, looking, database))]
      const size = await readSize(looking)
      const isHere = isReachedFromHere(connection) && isOnThisMachine(transport.host)
      return {
        database,
        findings,
        size,
        dataDirectory: (isHere ? size.dataDirectory : null) ?? undefined,
      }
    })
    const ofRows = deep ? await examineRows(session, database) : []
    const ofTarget = target
      ? await examineTarget(
          { session, installed, storage: target.storage, patterns },
          target.connection,
          context,
        )
      : []
    const isTaken = !ofTarget.some(({ severity }) => severity === "error")
    return {
      ...report,
      findings: [...report.findings, ...ofRows, ...ofTarget],
      takenBy: target && isTaken ? describeServer(target.connection) : null,
    }
  } finally {
    await session.close()
  }
}

function unreached(check: Finding["check"], subject: string, error: PgstowError): Finding {
  return {
    check,
    severity: "error",
    subject,
    // The subject stands before it.
    what: messageOf(error)
      .replaceAll(/\s*\n\s*/g, " ")
      .replace(`could not connect to ${subject}: `, "could not connect: ")
      .replace(`${subject}: `, ""),
    why: "Nothing can be backed up before this is put right, and nothing else of the database was looked at.",
    fix: error.hint ?? "See the server's log, which may say more.",
  }
}

function clientFindings(installed: readonly Clients[], { serverMajor, connection }: Session): Finding[] {
  try {
    chooseClients(installed, serverMajor)
    return []
  } catch (error) {
    if (!(error instanceof PgstowError)) throw error
    return [
      {
        check: "source.clients",
        severity: "error",
        subject: describe(connection),
        what: error.message,
        why: "pg_dump refuses a server that is newer than itself.",
        fix: error.hint ?? "",
      },
    ]
  }
}

/** A second session shows a pooler; one without settings of its own, what role, database and server would set. */
async function findingsOfSecond(clients: Clients, session: Session, context: Context): Promise<Finding[]> {
  const { connection } = session
  const name = await nameOf(session)
  const overrides = takesSettings(connection)
  return [
    ...(await poolerFindings(clients, session, context)),
    ...(overrides ? [] : [poolerTakesNothing(connection)]),
    ...timeLimitFindings(await limitsOfPlain(clients, connection, context), { ...name, overrides }),
  ]
}

async function poolerFindings(clients: Clients, session: Session, context: Context): Promise<Finding[]> {
  let second: Session | undefined
  try {
    second = await openSession(clients, session.connection, context)
    await refuseTransactionPooler(session, second)
    return []
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    // What is left of them is counted, too.
    if (tooMany.test(error.message)) return []
    return [
      {
        check: "source.pooler",
        severity: "error",
        subject: describe(session.connection),
        what: error.message,
        why: "A backup has several sessions that read by one snapshot, which is gone with the first transaction behind such a pooler.",
        fix: error.hint ?? "See the server's log, which may say more.",
      },
    ]
  } finally {
    await second?.close()
  }
}

const tooMany = /too many (?:clients|connections)|remaining connection slots/

/** None where such a session can't be had, or is ended before it can say. */
async function limitsOfPlain(
  clients: Clients,
  connection: Connection,
  context: Context,
): Promise<TimeLimit[]> {
  let plain: Session | undefined
  try {
    plain = await openSession(clients, { ...connection, settings: {} }, context)
    return await readTimeLimits(plain)
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    const isEnded = /timeout/.test(error.message)
    return isEnded
      ? [{ name: "statement_timeout", value: "so short that no session can say it", from: "" }]
      : []
  } finally {
    await plain?.close()
  }
}

function poolerTakesNothing(connection: Connection): Finding {
  return {
    check: "source.pooler-settings",
    severity: "notice",
    subject: describe(connection),
    what: "a pooler in between takes no settings for its sessions",
    why: "Time limits of role and database are switched off in each transaction instead, and amounts of type money are written by the server's locale.",
    fix: "the server's own host and port in DATABASE_URL, in place of the pooler's",
  }
}

const nameRow = z.tuple([z.object({ database: z.string(), role: z.string() })])

async function nameOf(session: Session): Promise<{ readonly database: string; readonly role: string }> {
  return nameRow.parse(
    await session.query(
      "SELECT pg_catalog.current_database() AS database, pg_catalog.quote_ident(current_user) AS role",
    ),
  )[0]
}
