import type { Context } from "../context.ts"
import type { TablePatterns } from "../core/table-patterns.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { type Clients, chooseClients } from "../postgres/clients.ts"
import { type Connection, describeServer } from "../postgres/connection.ts"
import { dumpDefinitions } from "../postgres/dump-definitions.ts"
import { readFunctionPaths } from "../postgres/function-paths.ts"
import { inspectServer } from "../postgres/server.ts"
import type { Session } from "../postgres/session.ts"
import type { Foreseen } from "../restore/foresee.ts"
import { foreseeOfSource } from "../restore/foresee-source.ts"
import type { Storage } from "../storage/storage.ts"
import type { Finding } from "./finding.ts"
import { lookInto } from "./looking.ts"

/** How long the look into functions may take, and the dump of the definitions wait for a lock. */
const patience = { statementMs: 10_000, lockMs: 1_000 }

/**
 * Looks whether a server would take a restore of the source as it is now. It dumps the source's definitions for that,
 * without rows. Rejects with nothing but the signal's reason.
 */
export async function examineTarget(
  source: {
    readonly session: Session
    readonly installed: readonly Clients[]
    readonly storage: Storage
    /** What of it is backed up. */
    readonly patterns: TablePatterns
  },
  target: Connection,
  context: Context,
): Promise<Finding[]> {
  const { session, installed, storage, patterns } = source
  const subject = describeServer(target)
  try {
    const clients = chooseClients(installed, session.serverMajor)
    const {
      isInRecovery: _,
      dataBytes: __,
      freeConnections: ___,
      money: ____,
      ...server
    } = await inspectServer(session)
    const functionPaths = await lookInto(session, patience, () => readFunctionPaths(session, server.settings))
    const toc = await dumpDefinitions(clients, session.connection, {
      env: context.env,
      signal: context.signal,
      lockWaitSeconds: patience.lockMs / 1_000,
      patterns,
    })
    const unsaved = { source: { ...server, clientVersion: clients.version }, functionPaths, toc, storage }
    const { foreseen, notes } = await foreseeOfSource(unsaved, installed, target, context)
    return [
      ...foreseen.map((one) => foreseenFinding(one, subject)),
      ...notes
        // Functions are found without a target, too.
        .filter((note) => !note.includes("look names up without a schema"))
        .map((note) => noteFinding(note, subject)),
    ]
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof PgstowError)) throw error
    return [
      {
        check: "target.connection",
        severity: "error",
        subject,
        what: messageOf(error).replaceAll(/\s*\n\s*/g, " "),
        why: "Nothing could be restored there, and nothing else of it was looked at.",
        fix: error.hint ?? "See the server's log, which may say more.",
      },
    ]
  }
}

function foreseenFinding({ what, why, waysOut }: Foreseen, subject: string): Finding {
  return {
    check: "target.foreseen",
    severity: "error",
    subject,
    what: `${why}, so a restore there would fail on ${what}`,
    why: "A restore looks for that before it makes anything, and refuses to begin. Each way out is enough; flags are those of restore.",
    fix: waysOut.join(" or "),
  }
}

function noteFinding(note: string, subject: string): Finding {
  return {
    check: "target.differs",
    severity: "notice",
    subject,
    what: note,
    why: "A restore there ends well, and what it makes is not all as it was.",
    fix: "a server like the source",
  }
}
