import {
  formatBytes,
  formatChange,
  formatCount,
  formatDuration,
  formatName,
  formatSpeed,
} from "../console/format.ts"
import type { PgstowEvent } from "./events.ts"

/** What a person reads about an event, before it is put into the form of a channel. */
export type Message = {
  readonly outcome: "success" | "warning" | "failure"
  /** "Backup of orders failed". */
  readonly title: string
  /** One or more sentences or clauses. */
  readonly text: string
  /** Facts, each short. */
  readonly fields: readonly { readonly name: string; readonly value: string }[]
  /** The last lines that the program which failed said; none where nothing failed. */
  readonly output: readonly string[]
  /** What to do. */
  readonly nextStep: string | undefined
  /** Where there is more to read. Its URL may be longer than a field of some channels. */
  readonly link?: { readonly title: string; readonly url: string } | undefined
}

/** The event types that people get: the start of a backup is none. */
export type ToldEvent = Exclude<PgstowEvent, { readonly type: "Backup Started" }>

/** The one wording of every event, for all channels. */
export function messageFor(event: ToldEvent): Message {
  const database = formatName(event.database)
  const message = (outcome: Message["outcome"], title: string, rest: Partial<Message>): Message => ({
    outcome,
    title,
    text: "",
    output: [],
    nextStep: undefined,
    ...rest,
    fields: [
      field("Database", database),
      ...(event.server === undefined ? [] : [field("Server", formatName(event.server))]),
      ...(event.machine === undefined ? [] : [field("Machine", formatName(event.machine))]),
      ...(rest.fields ?? []),
    ],
  })
  switch (event.type) {
    case "Backup Succeeded": {
      const { id, storages, partial, storedBytes, rawBytes, seconds, lastStoredBytes, warnings = [] } = event
      const title = `Backup of ${database} succeeded`
      return message(
        warnings.length > 0 ? "warning" : "success",
        warnings.length > 0 ? `${title}, with warnings` : title,
        {
          text:
            warnings.length > 0
              ? warnings.join(" ")
              : `${formatBytes(storedBytes)} stored in ${formatDuration(seconds)}.`,
          fields: [
            field("Backup", id),
            ...(partial === undefined ? [] : [field("Partial", formatName(partial))]),
            field("Stored", `${formatBytes(storedBytes)}${change(storedBytes, lastStoredBytes)}`),
            field("Before compression", formatBytes(rawBytes)),
            field("Took", `${formatSpeed(rawBytes, seconds)}${usualTime(event.usual)}`),
            ...rowsField(event.rows),
            field(storages.length === 1 ? "Storage" : "Storages", storages.join(", ")),
          ],
          ...(event.report === undefined ? {} : { link: { title: "Report", url: event.report } }),
          nextStep:
            warnings.length > 0
              ? `Look at it with \`pgstow show ${id}\`, and restore it somewhere if in doubt.`
              : undefined,
        },
      )
    }
    case "Backup Skipped":
      return message("warning", `Backup of ${database} skipped`, {
        text: `The one before is still running (${event.running}).`,
        nextStep: "Schedule it less often, or see why it takes so long.",
      })
    case "Verification Succeeded":
      return message("success", `Backup of ${database} verified`, {
        text: `${formatBytes(event.bytes)} read and found to be what the manifest says.`,
        fields: [
          field("Backup", event.id),
          field("Took", formatDuration(event.seconds)),
          field("Storage", event.storage),
        ],
      })
    case "Restore Succeeded":
      return message("success", `Backup of ${database} restored`, {
        text: `It is in the database ${formatName(event.into)}.`,
        fields: [field("Backup", event.id), field("Took", formatDuration(event.seconds))],
      })
    case "Drill Succeeded":
      return message("success", `Restore test of ${database} passed`, {
        text: `It was restored in ${formatDuration(event.restoreSeconds)}, and is what the backup says.`,
        fields: [
          field("Backup", event.id),
          field("Took", formatDuration(event.seconds)),
          field("Storage", event.storage),
        ],
      })
    case "Cleanup Succeeded":
      return message("success", `Backups of ${database} cleaned up`, {
        text: `${formatCount(event.removed.length, "backup")} removed, ${formatBytes(event.freedBytes)} freed.`,
        fields: event.removed.length > 0 ? [field("Removed", event.removed.join(", "))] : [],
      })
    case "Alarm Raised":
    case "Alarm Over": {
      const raised = event.type === "Alarm Raised"
      const title = `Alarm ${event.alarm} ${raised ? "raised" : "is over"}`
      return { ...message(raised ? "failure" : "success", title, { text: event.meaning }), fields: [] }
    }
    case "Backup Failed":
    case "Verification Failed":
    case "Restore Failed":
    case "Drill Failed":
    case "Cleanup Failed":
      return message("failure", `${event.type.replace(" Failed", "")} of ${database} failed`, {
        text: event.error,
        fields: event.id === undefined ? [] : [field("Backup", event.id)],
        output: event.output ?? [],
        nextStep: event.hint,
      })
  }
}

/** A sign for each outcome, seen at a glance. */
export const signs = { success: "✅", warning: "⚠️", failure: "❌" } as const

/** The whole message as lines of plain text. */
export function plainText({ title, text, fields, output, nextStep, link }: Message): string {
  return [
    title,
    ...(text === "" ? [] : [text]),
    "",
    ...fields.map(({ name, value }) => `${name}: ${value}`),
    ...(output.length > 0 ? ["", ...output] : []),
    ...(nextStep === undefined ? [] : ["", `Next step: ${nextStep}`]),
    ...(link === undefined ? [] : ["", `${link.title}: ${link.url}`]),
  ].join("\n")
}

function field(name: string, value: string) {
  return { name, value }
}

/** " (12 % more than last time)". */
function usualTime(usual: { readonly seconds: number; readonly backups: number } | undefined): string {
  return usual === undefined || usual.backups < 2 ? "" : `, usually ${formatDuration(usual.seconds)}`
}

function rowsField(
  rows: { readonly before: number; readonly after: number } | undefined,
): { name: string; value: string }[] {
  if (!rows) return []
  const whole = new Intl.NumberFormat("en-US")
  return [field("Rows", `about ${whole.format(rows.after)} (${formatChange(rows.before, rows.after)})`)]
}

function change(bytes: number, lastBytes: number | undefined): string {
  if (!lastBytes) return ""
  const percent = Math.round((100 * (bytes - lastBytes)) / lastBytes)
  if (percent === 0) return " (as much as last time)"
  return ` (${Math.abs(percent)} % ${percent > 0 ? "more" : "less"} than last time)`
}
