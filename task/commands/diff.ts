import { type ComparedBackup, type DiffResult, diff } from "../catalog/diff.ts"
import {
  formatBytes,
  formatChange,
  formatName,
  formatTable,
  formatTime,
  wrapText,
} from "../console/format.ts"
import type { Pair, TableChange, ValueChange } from "../core/diff-backups.ts"
import { PgstowError } from "../errors.ts"
import { databaseFlag, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { signerOptions, storageOptions } from "./options.ts"

const ofDatabase: OptionGroup = (command) =>
  command
    .optionsGroup("Which backups:")
    .option("--database <name>", "of this database; not needed where there is only one")

export const diffCommand = defineCommand({
  name: "diff",
  summary: "compare two backups: tables, sizes, extensions, roles, settings",
  group: "Look:",
  argument: { syntax: "[before]", description: "latest, an id, or the beginning of one" },
  secondArgument: { syntax: "[after]", description: "the same" },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, ofDatabase],
  flags: databaseFlag,
  examples: ["pgstow diff 20260101T03 latest --database orders"],
  notes: ["By their manifests alone: no key is needed, and the answer says what they do not tell."],
  async run({ settings, args: [before, after], flags: { database }, width }, context) {
    if (before === undefined || after === undefined)
      throw new PgstowError("usage", "two backups are needed to compare", {
        hint: "Give two ids, or the beginnings of them, the older one first: see `pgstow list`.",
      })
    const choice = { before, after, database, signedBy: signedByOf(settings) }
    const result = await diff(storagesOf(settings, context), choice, context)
    return {
      title: `compared ${result.before.id} and ${result.after.id}`,
      result,
      text: formatDiff(result, width),
      isAnswer: true,
    }
  },
})

const tablesShown = 20

export function formatDiff(result: DiffResult, width = Number.POSITIVE_INFINITY): string {
  const { before, after, partial, unchanged, roles, notKnown } = result
  const sections = [
    ...tableSection("tables that came", result.came, width),
    ...tableSection("tables that went", result.went, width),
    ...tableSection("tables that grew", result.grew, width),
    ...tableSection("tables that shrank", result.shrank, width),
    ...valueSection("extensions", result.extensions),
    ...valueSection("settings of the database", result.settings),
    ...valueSection("server and locale", result.properties),
    ...(roles.came.length + roles.went.length > 0
      ? [
          "",
          "roles:",
          ...roles.came.map((role) => `  + ${formatName(role)}`),
          ...roles.went.map((role) => `  - ${formatName(role)}`),
        ]
      : []),
  ]
  return [
    `before  ${backupInWords(before, partial.before)}`,
    `after   ${backupInWords(after, partial.after)}`,
    "",
    formatTable(
      [
        { title: "" },
        { title: "BEFORE", flush: "right" },
        { title: "AFTER", flush: "right" },
        { title: "CHANGE", flush: "right" },
      ],
      [
        ["stored", ...pairInWords(result.storedBytes, formatBytes)],
        ["raw", ...pairInWords(result.rawBytes, formatBytes)],
        ["database", ...pairInWords(result.databaseBytes, formatBytes)],
        ["tables", ...pairInWords(result.tables, String)],
      ],
      width,
    ),
    ...sections,
    "",
    `tables as large as before: ${unchanged}`,
    ...notKnown.flatMap((note) => wrapText(formatName(`note: ${note}`), width, "  ")),
  ].join("\n")
}

function backupInWords({ id, database, startedAt, storage }: ComparedBackup, partial: string | null): string {
  const what = partial === null ? "" : `, partial: ${partial}`
  return formatName(`${id} of ${database}, ${formatTime(new Date(startedAt))}, ${storage}${what}`)
}

function tableSection(title: string, changes: readonly TableChange[], width: number): string[] {
  if (changes.length === 0) return []
  const more = changes.length - tablesShown
  const table = formatTable(
    [
      { title: "TABLE" },
      { title: "ROWS BEFORE", flush: "right" },
      { title: "AFTER", flush: "right" },
      { title: "CHANGE", flush: "right" },
      { title: "BYTES BEFORE", flush: "right" },
      { title: "AFTER", flush: "right" },
    ],
    changes
      .slice(0, tablesShown)
      .map(({ table, rows, bytes }) => [
        table,
        ...pairInWords(rows, String),
        ...pairInWords(bytes, formatBytes).slice(0, 2),
      ]),
    width,
  )
  return [
    "",
    `${title}: ${changes.length}`,
    table,
    ...(more > 0 ? [`and ${more} more: --json has all of them`] : []),
  ]
}

function valueSection(title: string, changes: readonly ValueChange[]): string[] {
  if (changes.length === 0) return []
  return [
    "",
    `${title}:`,
    ...changes.map(({ name, before, after }) =>
      formatName(
        before === null
          ? `  + ${name} ${after}`
          : after === null
            ? `  - ${name} ${before}`
            : `  ${name}: ${before} → ${after}`,
      ),
    ),
  ]
}

/** Before, after, and by how much that differs. */
function pairInWords({ before, after }: Pair, format: (value: number) => string): string[] {
  const orDash = (value: number | null) => (value === null ? "-" : format(value))
  return [orDash(before), orDash(after), before === null || after === null ? "" : formatChange(before, after)]
}
