import * as z from "zod"
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatName,
  formatRate,
  formatTime,
} from "../console/format.ts"
import { formatProblem } from "../core/check.ts"
import {
  choiceFlags,
  choiceOf,
  identitiesOf,
  legacyFileIn,
  legacyKeyFlags,
  legacyKeysOf,
  storagesOf,
} from "../settings/inputs.ts"
import { noVerificationEvent, verificationEvent } from "../verify/verification-event.ts"
import { type VerifyResult, verifyCopies, verifyFailure } from "../verify/verify.ts"
import { type VerifyFileResult, verifyFile } from "../verify/verify-file.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { choiceOptions, each, keyOptions, legacyKeyOptions, storageOptions } from "./options.ts"

const verifyOptions: OptionGroup = (command) =>
  command
    .option("--deep", "also decrypt, decompress and read every object to its end (needs the key)")
    .option("--pg-bin <folder>", "look for pg_restore here first; may be repeated (PGSTOW_PG_BIN)", each)

export const verifyCommand = defineCommand({
  name: "verify",
  summary: "read a backup again and check it against its manifest",
  group: "Look:",
  argument: {
    syntax: "[backup]",
    description: "latest, an id, or the beginning of one; or a file of Emiti or Sentinel",
  },
  options: [storageOptions, choiceOptions, keyOptions, legacyKeyOptions, verifyOptions],
  flags: z.object({
    ...choiceFlags.shape,
    ...legacyKeyFlags.shape,
    deep: z.boolean().default(false),
  }),
  examples: [
    "pgstow verify latest",
    "pgstow verify 20260102T030000Z-k3v9x2ab --deep --identity pgstow.key",
    "pgstow verify ./emiti_metrics_20240115_030000.sql.gz.enc --legacy-key-file emiti.key",
  ],
  async run({ settings, args, flags }, context) {
    const file = legacyFileIn(args)
    if (file !== undefined) {
      const result = await verifyFile(file, await legacyKeysOf(settings, flags), context)
      return { title: "verified", result, text: formatVerifyFile(result), isAnswer: true }
    }
    const storages = storagesOf(settings, context)
    const deep = flags.deep
      ? { identities: await identitiesOf(settings, context), clientFolders: settings.pgBin }
      : undefined
    const copies = await verifyCopies(storages, { ...choiceOf(args, flags), deep }, context)
    const { results } = copies
    return {
      title: "verified",
      result: results,
      text: results.map(formatVerify).join("\n"),
      isAnswer: true,
      failure: verifyFailure(copies),
      events: [...results.map(verificationEvent), ...copies.unknown.map(noVerificationEvent)],
    }
  },
})

export function formatVerify(result: VerifyResult): string {
  const { storage, database, id, kind, problems, objects, bytes, seconds } = result
  const what = `${id} of ${formatName(database)} in ${storage}`
  const size = `${formatCount(objects, "object")}, ${formatBytes(bytes)}`
  const speed = `${formatDuration(seconds)} (${formatRate(bytes, seconds)})`
  if (problems.length === 0) return `${kind}: ${what}: ${size} in ${speed}`
  return [
    `${kind}: ${what}: ${formatCount(problems.length, "problem")} in ${size}`,
    ...problems.map((problem) => formatName(`  ${formatProblem(problem)}`)),
  ].join("\n")
}

export function formatVerifyFile({
  file,
  system,
  madeAt,
  storedBytes,
  rawBytes,
  tables,
}: VerifyFileResult): string {
  const size = `${formatBytes(storedBytes)}, ${formatBytes(rawBytes)} of SQL with ${formatCount(tables, "table")}`
  return `verified: ${formatName(file)} of ${system}, made ${formatTime(new Date(madeAt))}: ${size}`
}
