import { randomBytes } from "node:crypto"
import { PgstowError } from "../errors.ts"
import type { Child } from "../processes/child.ts"
import { type Connection, describe } from "./connection.ts"

/** What the server answered to a statement that it refused. */
export class QueryError extends PgstowError {
  /** Five characters: "42501". PostgreSQL documentation, appendix A. */
  readonly sqlstate: string
  /** The server's own words. */
  readonly reason: string

  constructor(connection: Connection, sqlstate: string, message: string) {
    super("postgres", `${describe(connection)}: ${message}`, { hint: queryHints[sqlstate] })
    this.name = "QueryError"
    this.sqlstate = sqlstate
    this.reason = message
  }
}

const queryHints: Readonly<Record<string, string>> = {
  "42501": "Grant the user what it lacks, or use one that has it.",
  "55006": "Close the other sessions that use it, and try again.",
  "53100": "Free disk space on the server.",
  "55P03": "Another session holds a lock; try again when it is done, or wait longer.",
  "57014": "The statement was cancelled, by a time limit or by hand.",
  "40001":
    "A replica cancelled it (conflict with recovery): raise max_standby_streaming_delay, or use the primary.",
}

/**
 * Statements to psql and their answers back, one after another. Each is followed by a random marker and its number,
 * so that whatever the answer holds, its end is known; and by what psql's variables say of it, so that an error
 * belongs to its statement.
 *
 * A prefix may lose an answer, which would be waited for without end. So psql says on stderr too that it has answered,
 * and `onLoss` is called where an answer has not come `comesWithinMs` later, or another has in its place.
 */
export function converse(
  psql: Child,
  connection: Connection,
  options: {
    readonly isBehindPrefix: boolean
    readonly comesWithinMs: number
    readonly onLoss: () => void
  },
) {
  const marker = randomBytes(16).toString("hex")
  const end = `\n${marker}\n`
  const answer = new RegExp(`^(.*?)\\n?${marker} (\\d+) (true|false) (\\S+)\\n(.*)$`, "s")
  const pending: PromiseWithResolvers<string>[] = []
  const count = { said: 0, answered: 0 }
  const late = new Set<NodeJS.Timeout>()
  let over: unknown
  let received = ""

  const finish = (reason: unknown) => {
    over ??= reason
    for (const timer of late) clearTimeout(timer)
    for (const reply of pending.splice(0)) reply.reject(over)
  }
  psql.stdin.on("error", () => {}) // It has ended: `end` says why.
  psql.stdout.setEncoding("utf8")
  psql.stdout.on("data", (text: string) => {
    let from = Math.max(0, received.length - end.length)
    received += text
    for (let at = received.indexOf(end, from); at >= 0; at = received.indexOf(end, from)) {
      const [, result = "", number, failed, sqlstate = "", message = ""] =
        answer.exec(received.slice(0, at)) ?? []
      received = received.slice(at + end.length)
      from = 0
      count.answered += 1
      if (Number(number) !== count.answered) return options.onLoss()
      if (failed === "true") pending.shift()?.reject(new QueryError(connection, sqlstate, message))
      else pending.shift()?.resolve(result)
    }
  })

  return {
    isIdle: () => pending.length === 0,
    say: (sql: string): Promise<string> => {
      if (over !== undefined) return Promise.reject(over)
      const reply = Promise.withResolvers<string>()
      pending.push(reply)
      count.said += 1
      const number = count.said
      psql.stdin.write(
        [
          `${sql}\n;`,
          `\\echo ${marker} ${number} :ERROR :SQLSTATE`,
          "\\echo :LAST_ERROR_MESSAGE",
          `\\echo ${marker}`,
          ...(options.isBehindPrefix ? [`\\warn ${marker} ${number}`] : []),
          "",
        ].join("\n"),
      )
      return reply.promise
    },
    /** Takes a line of psql's stderr. */
    hear: (line: string) => {
      if (!line.startsWith(marker)) return
      const number = Number(line.slice(marker.length))
      const timer = setTimeout(() => {
        late.delete(timer)
        if (count.answered < number) options.onLoss()
      }, options.comesWithinMs)
      timer.unref()
      late.add(timer)
    },
    /** What psql itself wrote to stderr. */
    withoutOwn: (stderr: string): string =>
      stderr
        .split("\n")
        .filter((line) => !line.includes(marker))
        .join("\n"),
    /** Rejects what is pending, and all that is said later. */
    end: finish,
  }
}
