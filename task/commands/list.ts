import * as z from "zod"
import { type ListedBackup, type ListResult, list, listFailure, placeInWords } from "../catalog/list.ts"
import { formatBytes, formatDuration, formatName, formatTable, formatTime } from "../console/format.ts"
import { signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { signerOptions, storageOptions } from "./options.ts"

export const listCommand = defineCommand({
  name: "list",
  summary: "list the backups, newest first",
  group: "Look:",
  argument: { syntax: "[database]", description: "only those of this database" },
  options: [storageOptions, signerOptions],
  flags: z.object({}),
  examples: ["pgstow list", "pgstow list orders --json"],
  async run({ settings, args: [database] }, context) {
    const options = { database, signedBy: signedByOf(settings), warn: context.log.warn }
    const result = await list(storagesOf(settings, context), options)
    return {
      title: "listed the backups",
      result,
      text: formatList(result),
      isAnswer: true,
      failure: listFailure(result),
    }
  },
})

export function formatList({ storages, backups, unlisted }: ListResult): string {
  const several = storages.length > 1
  const table = formatTable(
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
  )
  const problems = [
    ...backups.flatMap(({ id, problem }) => (problem === null ? [] : `${id}: ${problem}`)),
    ...unlisted.map((place) => `not listed: ${placeInWords(place)}`),
  ].map(formatName)
  return [table, ...(problems.length > 0 ? ["", ...problems] : [])].join("\n")
}

function stateInWords({ problem, lastCheck, storedBytes, encrypted }: ListedBackup): string {
  const unreadable = storedBytes === null ? "unreadable" : "checks unreadable"
  const check = problem === null ? (lastCheck?.kind ?? "unverified") : unreadable
  return encrypted === false ? `${check}, unencrypted` : check
}

function orDash<Value>(value: Value | null, format: (value: Value) => string): string {
  return value === null ? "-" : format(value)
}
