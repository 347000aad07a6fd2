import * as z from "zod"
import { formatBytes, formatCount, formatName, formatSpeed, formatTime } from "../console/format.ts"
import { formatProblem } from "../core/check.ts"
import { PgstowError } from "../errors.ts"
import type { PgstowEvent } from "../notify/events.ts"
import {
  choiceFlags,
  choiceOf,
  identitiesOf,
  legacyFileIn,
  legacyKeyFlags,
  legacyKeysOf,
  signedByOf,
  storagesOf,
} from "../settings/inputs.ts"
import { noVerificationEvent, verificationEvent } from "../verify/verification-event.ts"
import { type CopiesResult, type VerifyResult, verifyCopies, verifyFailure } from "../verify/verify.ts"
import { type VerifyFileResult, verifyFile } from "../verify/verify-file.ts"
import { severalFailure, type VerifiedBackup, verifySeveral } from "../verify/verify-several.ts"
import { defineCommand, type OptionGroup, type Outcome, type Report } from "./command.ts"
import {
  choiceOptions,
  each,
  keyOptions,
  legacyKeyOptions,
  signerOptions,
  storageOptions,
} from "./options.ts"

const verifyOptions: OptionGroup = (command) =>
  command
    .option("--all", "every backup there is, or every one of --database")
    .option("--deep", "also decrypt, decompress and read every object to its end (needs the key)")
    .option("--pg-bin <folder>", "look for pg_restore here first; may be repeated (PGSTOW_PG_BIN)", each)

export const verifyCommand = defineCommand({
  name: "verify",
  summary: "read a backup again and check it against its manifest",
  group: "Look:",
  argument: {
    syntax: "[backups...]",
    description: "latest, an id, or the beginning of one; or a file of Emiti or Sentinel",
  },
  config: { runs: "each", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions, keyOptions, legacyKeyOptions, verifyOptions],
  flags: z.object({
    ...choiceFlags.shape,
    ...legacyKeyFlags.shape,
    deep: z.boolean().default(false),
    all: z.boolean().default(false),
  }),
  examples: [
    "pgstow verify latest",
    "pgstow verify 20260102T030000Z-k3v9x2ab --deep --identity pgstow.key",
    "pgstow verify --all --database orders",
    "pgstow verify ./emiti_metrics_20240115_030000.sql.gz.enc --legacy-key-file emiti.key",
  ],
  async run({ settings, args, flags, report }, context) {
    const file = legacyFileIn(args)
    if (file !== undefined && args.length === 1) {
      const result = await verifyFile(file, await legacyKeysOf(settings, flags), context)
      return { title: "verified", result, text: formatVerifyFile(result), isAnswer: true }
    }
    const storages = storagesOf(settings, context)
    const deep = flags.deep
      ? { identities: await identitiesOf(settings, context), clientFolders: settings.pgBin }
      : undefined
    const signedBy = signedByOf(settings)
    if (flags.all || args.length > 1) {
      const onBackup = (one: VerifiedBackup) => reportBackup(one, report)
      const choice = { backups: severalOf(args, flags), database: flags.database, signedBy, deep, onBackup }
      return outcomeOfSeveral(await verifySeveral(storages, choice, context))
    }
    const copies = await verifyCopies(storages, { ...choiceOf(args, flags), signedBy, deep }, context)
    return {
      title: "verified",
      result: copies.results,
      text: formatCopies(copies),
      isAnswer: true,
      failure: verifyFailure(copies),
      events: eventsOf(copies),
    }
  },
})

/** Which backups are meant, where that is not one. */
function severalOf(
  args: readonly string[],
  {
    all,
    backup,
    at,
  }: { readonly all: boolean; readonly backup?: string | undefined; readonly at?: string | undefined },
): readonly string[] | "all" {
  if (backup !== undefined || at !== undefined || (all && args.length > 0))
    throw new PgstowError("usage", "the backups to verify were given in more than one way", {
      hint: "Give ids, or one of --all, --backup and --at.",
    })
  const file = args.find((arg) => legacyFileIn([arg]) !== undefined)
  if (file !== undefined)
    throw new PgstowError("usage", `${formatName(file)} is a file, and files are verified one at a time`, {
      hint: "Give it alone.",
    })
  return all ? "all" : args
}

function reportBackup({ copies, failure }: VerifiedBackup, report: Report): void {
  if (copies)
    report.result({ title: "verified", result: copies.results, text: formatCopies(copies), isAnswer: true })
  if (failure) report.failure(failure)
}

function outcomeOfSeveral(verified: readonly VerifiedBackup[]): Outcome {
  const good = verified.filter(({ failure }) => failure === undefined).length
  return {
    title: "verified",
    result: verified.flatMap(({ copies }) => copies?.results ?? []),
    text: `${good} of ${formatCount(verified.length, "backup")} verified and good`,
    isAnswer: true,
    failure: severalFailure(verified),
    events: verified.flatMap(({ copies, failure, ...name }) => {
      if (copies) return eventsOf(copies)
      return failure ? [noVerificationEvent({ ...name, why: failure })] : []
    }),
  }
}

function eventsOf({ results, unknown }: CopiesResult): PgstowEvent[] {
  return [...results.map(verificationEvent), ...unknown.map(noVerificationEvent)]
}

function formatCopies({ results }: CopiesResult): string {
  return results.map(formatVerify).join("\n")
}

export function formatVerify(result: VerifyResult): string {
  const { storage, database, id, partial, kind, problems, objects, bytes, seconds } = result
  const scope = partial === null ? "" : ` (partial: ${formatName(partial)})`
  const what = `${id} of ${formatName(database)}${scope} in ${storage}`
  const size = `${formatCount(objects, "object")}, ${formatBytes(bytes)}`
  if (problems.length === 0) return `${kind}: ${what}: ${size} in ${formatSpeed(bytes, seconds)}`
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
