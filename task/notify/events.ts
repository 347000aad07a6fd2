import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge"
import { messageOf, PgstowError } from "../errors.ts"
import { agentsInUse } from "../processes/network.ts"

/** What happened, and where: for people and programs elsewhere. Never secrets. */
export type PgstowEvent = Happening & Origin

export type Origin = {
  /** The name of the machine, or the container, that says so. */
  readonly machine?: string
  /** The server that was backed up or restored to: "on db.example.com:5432". */
  readonly server?: string
}

/** `database` is the name that the catalog knows. */
type Happening =
  | { readonly type: "Backup Started"; readonly database: string }
  | {
      readonly type: "Backup Succeeded"
      readonly database: string
      readonly id: string
      /** The storages that hold it. */
      readonly storages: readonly string[]
      readonly storedBytes: number
      readonly rawBytes: number
      readonly seconds: number
      /** What it holds and what not, in words, where something was left out. */
      readonly partial?: string
      /** What the backup before took up, where there is one. */
      readonly lastStoredBytes?: number
      /** The medians of so many backups before it. */
      readonly usual?: {
        readonly backups: number
        readonly storedBytes: number
        readonly rawBytes: number
        readonly seconds: number
        readonly bytesPerSecond: number | null
      }
      /** About how many rows the last one's largest tables had, and its own have. */
      readonly rows?: { readonly before: number; readonly after: number }
      /** What is wrong with the backup although it is there, a sentence each. */
      readonly warnings?: readonly string[]
      /** The URL of a report about all backups, which may be open to whoever has it. */
      readonly report?: string
    }
  /** A backup was asked for while another was under way: `running` is the task that is. */
  | { readonly type: "Backup Skipped"; readonly database: string; readonly running: string }
  | {
      readonly type: "Verification Succeeded"
      readonly database: string
      readonly id: string
      readonly storage: string
      readonly bytes: number
      readonly seconds: number
    }
  | {
      readonly type: "Restore Succeeded"
      readonly database: string
      readonly id: string
      /** The database that was restored into. */
      readonly into: string
      readonly seconds: number
    }
  | {
      readonly type: "Drill Succeeded"
      readonly database: string
      readonly id: string
      readonly storage: string
      /** How long the restore took that was tested, and all of it. */
      readonly restoreSeconds: number
      readonly seconds: number
    }
  | {
      readonly type: "Cleanup Succeeded"
      readonly database: string
      /** The ids of the backups that were removed. */
      readonly removed: readonly string[]
      readonly freedBytes: number
    }
  /** An alarm changed that watches over all of it: its name, and what it means. */
  | {
      readonly type: "Alarm Raised" | "Alarm Over"
      readonly database: string
      readonly alarm: string
      readonly meaning: string
    }
  | {
      readonly type:
        | "Backup Failed"
        | "Verification Failed"
        | "Restore Failed"
        | "Drill Failed"
        | "Cleanup Failed"
      readonly database: string
      /** The backup, where it is known which. */
      readonly id?: string
      /** What failed, and on what. */
      readonly error: string
      /** What to do, where that is known. */
      readonly hint?: string
      /** The last lines that the program which failed said. */
      readonly output?: readonly string[]
    }

/** What an event says of a failure. */
export function reasonOf(error: unknown): { readonly error: string; readonly hint?: string } {
  const hint = error instanceof PgstowError ? error.hint : undefined
  return { error: messageOf(error), ...(hint === undefined ? {} : { hint }) }
}

export const eventSource = "pgstow"

/** Puts an event on an EventBridge bus, by its name or ARN. Rejects where the bus did not take it, or not before `signal` aborts. */
export async function publishEvent(
  bus: string,
  { type, ...detail }: PgstowEvent,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const fail = (options: { cause?: unknown }) =>
    new PgstowError("unexpected", `the event "${type}" could not be put on the event bus ${bus}`, {
      ...options,
      hint: "Check that the bus exists and that this role may call events:PutEvents on it.",
    })
  const entry = { EventBusName: bus, Source: eventSource, DetailType: type, Detail: JSON.stringify(detail) }
  const options = signal ? { abortSignal: signal } : {}
  const sent = await new EventBridgeClient({ requestHandler: agentsInUse() })
    .send(new PutEventsCommand({ Entries: [entry] }), options)
    .catch((cause: unknown) => {
      throw fail({ cause: signal?.aborted ? new Error("it did not answer in time") : cause })
    })
  const [refused] = sent.Entries?.filter(({ ErrorCode }) => ErrorCode !== undefined) ?? []
  if (refused)
    throw fail({ cause: new Error(`${refused.ErrorCode}: ${refused.ErrorMessage ?? "no reason given"}`) })
}
