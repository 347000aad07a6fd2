import * as z from "zod"
import { type ListedBackup, type ListResult, list, listFailure, placeInWords } from "../catalog/list.ts"
import { formatBytes, formatDuration, formatName, formatTable, formatTime } from "../console/format.ts"
import { databaseChosen, databaseFlag, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { databaseOption, signerOptions, storageOptions } from "./options.ts"

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
  async run({ settings, args, flags, width }, context) {
    const { long } = flags
    const database = databaseChosen(args, flags)
    const options = { database, signedBy: signedByOf(settings), warn: context.log.warn }
    const result = await list(storagesOf(settings, context), options)
    return {
      title: "listed the backups",
      result,
      text: formatList(result, { long, width }),
      isAnswer: true,
      failure: listFailure(result),
    }
  },
})

type Shape = { readonly long?: boolean; readonly width?: number }

export function formatList(result: ListResult, { long = false, width }: Shape = {}): string {
  const problems = [
    ...result.backups.flatMap(({ id, problem }) => (problem === null ? [] : `${id}: ${problem}`)),
    ...result.unlisted.map((place) => `not listed: ${placeInWords(place)}`),
  ].map(formatName)
  const table = long ? formatCopies(result, width) : formatBackups(result, width)
  return [table, ...(problems.length > 0 ? ["", ...problems] : [])].join("\n")
}

/** A line for each backup, or for each state where its copies differ, with the numbers of the storages that have it. */
function formatBackups({ storages, backups }: ListResult, width: number | undefined): string {
  const several = storages.length > 1
  const alike = Object.groupBy(backups, (backup) =>
    JSON.stringify([backup.id, backup.database, stateInWords(backup), backup.storedBytes]),
  )
  const table = formatTable(
    [
      { title: "ID" },
      { title: "DATABASE" },
      { title: "STORED", flush: "right" },
      { title: "RAW", flush: "right" },
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
          orDash(backup.rawBytes, formatBytes),
          stateInWords(backup),
          ...(several ? [copies.map(({ storage }) => storages.indexOf(storage) + 1).join(" ")] : []),
        ]),
    ),
    width,
  )
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
      stateInWords(backup),
      backup.storage,
    ]),
    width,
  )
}

function stateInWords(backup: ListedBackup): string {
  const { problem, lastCheck, lastDrill, storedBytes, encrypted, pinned, partial } = backup
  const unreadable = storedBytes === null ? "unreadable" : "checks unreadable"
  const check = problem === null ? (lastCheck?.kind ?? "unverified") : unreadable
  const drill = lastDrill && lastDrill.kind !== check ? [lastDrill.kind] : []
  return [
    check,
    ...drill,
    ...(pinned ? ["pinned"] : []),
    ...(partial === null ? [] : ["partial"]),
    ...(encrypted === false ? ["unencrypted"] : []),
  ].join(", ")
}

function orDash<Value>(value: Value | null, format: (value: Value) => string): string {
  return value === null ? "-" : format(value)
}
