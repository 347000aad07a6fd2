import stringWidth from "string-width"
import * as z from "zod"
import { type ListedBackup, type ListResult, list, listFailure, placeInWords } from "../catalog/list.ts"
import {
  ageInWords,
  formatBytes,
  formatCount,
  formatDuration,
  formatName,
  formatTable,
  formatTime,
} from "../console/format.ts"
import { sparkline } from "../console/sparkline.ts"
import { databaseChosen, databaseFlag, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { databaseOption, signerOptions, storageOptions } from "./options.ts"
import { paintStates, stateInWords } from "./state-in-words.ts"

const listOptions: OptionGroup = (command) =>
  command.option("--long", "a line for each copy, with when it was started and how long it took")

export const listCommand = defineCommand({
  name: "list",
  summary: "list the backups, newest first",
  group: "Look:",
  argument: { syntax: "[database]", description: "only those of this database" },
  config: { runs: "each", args: "databases" },
  options: [storageOptions, signerOptions, databaseOption, listOptions],
  flags: databaseFlag.extend({ long: z.boolean().default(false) }),
  examples: ["pgstow list", "pgstow list orders --json"],
  async run({ settings, args, flags, width, showsBars }, context) {
    const { long } = flags
    const database = databaseChosen(args, flags)
    const options = { database, signedBy: signedByOf(settings), warn: context.log.warn }
    const result = await list(storagesOf(settings, context), options)
    return {
      title: "listed the backups",
      result,
      text: formatList(result, { long, width, trendsAt: showsBars ? context.now() : undefined }),
      paint: paintStates,
      isAnswer: true,
      failure: listFailure(result),
    }
  },
})

type Shape = {
  readonly long?: boolean
  readonly width?: number
  /** Where it is given, the sizes of each database are drawn, and the newest backup's age is told as of then. */
  readonly trendsAt?: Date | undefined
}

export function formatList(result: ListResult, { long = false, width, trendsAt }: Shape = {}): string {
  const problems = [
    ...result.backups.flatMap(({ id, problem }) => (problem === null ? [] : `${id}: ${problem}`)),
    ...result.unlisted.map((place) => `not listed: ${placeInWords(place)}`),
  ].map(formatName)
  const table = long ? formatCopies(result, width) : formatBackups(result, width)
  const trends = trendsAt === undefined ? [] : trendsOf(result.backups, trendsAt, width)
  return [table, ...withGap(trends), ...withGap(problems)].join("\n")
}

const withGap = (lines: readonly string[]) => (lines.length > 0 ? ["", ...lines] : [])

/** Of fewer there is nothing to see. */
const fewestDrawn = 3

/** A line for each database: how large its backups were stored, the newest last; how old that is, and how long it took. */
function trendsOf(
  backups: readonly ListedBackup[],
  now: Date,
  width = Number.POSITIVE_INFINITY,
): readonly string[] {
  const byDatabase = [...Map.groupBy(backups, ({ database }) => database)]
  const rows = byDatabase
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([database, copies]) => {
      const each = [...Map.groupBy(copies, ({ id }) => id).values()].flatMap((same) => {
        const told = same.find(({ storedBytes }) => storedBytes !== null)
        return told === undefined ? [] : [told]
      })
      const [newest] = each
      if (newest === undefined || each.length < fewestDrawn) return []
      const name = formatName(database)
      const drawn = each.slice(0, Math.max(fewestDrawn, Math.min(mostDrawn, width - stringWidth(name) - 2)))
      const bars = sparkline(drawn.map(({ storedBytes }) => storedBytes ?? 0).toReversed())
      const hours =
        newest.startedAt === null ? -1 : (now.getTime() - Date.parse(newest.startedAt)) / 3_600_000
      const words = [
        ...(hours < 0 ? [] : [`newest ${ageInWords(hours)} ago`]),
        ...(newest.seconds === null ? [] : [`took ${formatDuration(newest.seconds)}`]),
        formatCount(each.length, "backup"),
        `${formatBytes(copies.reduce((sum, { storedBytes }) => sum + (storedBytes ?? 0), 0))} in all`,
      ]
      return [[name, bars, words.join(", ")]]
    })
  if (rows.length === 0) return []
  return formatTable([{ title: "" }, { title: "" }, { title: "" }], rows, width).split("\n")
}

const mostDrawn = 40

/** A line for each backup, or for each state where its copies differ, with the numbers of the storages that have it. */
function formatBackups({ storages, backups }: ListResult, width: number | undefined): string {
  const several = storages.length > 1
  const alike = Object.groupBy(backups, (backup) =>
    JSON.stringify([backup.id, backup.database, stateOf(backup), backup.storedBytes]),
  )
  const tableWith = (raw: boolean) =>
    formatTable(
      [
        { title: "ID" },
        { title: "DATABASE" },
        { title: "STORED", flush: "right" },
        ...(raw ? [{ title: "RAW", flush: "right" } as const] : []),
        { title: "STATE" },
        ...(several ? [{ title: "IN" }] : []),
      ],
      Object.values(alike).flatMap((copies = []) =>
        copies
          .slice(0, 1)
          .map((backup) => [
            backup.id,
            formatName(backup.database),
            orDash(backup.storedBytes, formatBytes),
            ...(raw ? [orDash(backup.rawBytes, formatBytes)] : []),
            stateOf(backup),
            ...(several ? [copies.map(({ storage }) => storages.indexOf(storage) + 1).join(" ")] : []),
          ]),
      ),
      width,
    )
  const whole = tableWith(true)
  // Rather without these than on two lines each.
  const isFolded = whole.split("\n").length > Object.keys(alike).length + 1
  const table = isFolded ? tableWith(false) : whole
  return several ? [table, "", ...storages.map((url, index) => `${index + 1}  ${url}`)].join("\n") : table
}

function formatCopies({ storages, backups }: ListResult, width: number | undefined): string {
  const several = storages.length > 1
  return formatTable(
    [
      { title: "ID" },
      { title: "DATABASE" },
      { title: "STARTED" },
      { title: "STORED", flush: "right" },
      { title: "RAW", flush: "right" },
      { title: "TOOK", flush: "right" },
      { title: "STATE" },
      ...(several ? [{ title: "STORAGE" }] : []),
    ],
    backups.map((backup) => [
      backup.id,
      formatName(backup.database),
      orDash(backup.startedAt, (time) => formatTime(new Date(time))),
      orDash(backup.storedBytes, formatBytes),
      orDash(backup.rawBytes, formatBytes),
      orDash(backup.seconds, formatDuration),
      stateOf(backup),
      backup.storage,
    ]),
    width,
  )
}

const stateOf = (backup: ListedBackup) => stateInWords({ ...backup, isReadable: backup.storedBytes !== null })

function orDash<Value>(value: Value | null, format: (value: Value) => string): string {
  return value === null ? "-" : format(value)
}
