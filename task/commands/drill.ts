import * as z from "zod"
import { formatBytes, formatDuration, formatName } from "../console/format.ts"
import { formatProblem } from "../core/check.ts"
import type { Expectation } from "../core/expectation.ts"
import { type DrillResult, drill, drillFailure } from "../drill/drill.ts"
import { parseExpectations, readExpectations } from "../drill/expectations.ts"
import { messageOf, type PgstowError } from "../errors.ts"
import type { PgstowEvent } from "../notify/events.ts"
import { type Settings, variableOf } from "../settings/config.ts"
import { choiceFlags, choiceOf, identitiesOf, signedByOf, storagesOf, targetOf } from "../settings/inputs.ts"
import { defineCommand, type OptionGroup } from "./command.ts"
import { drillInWords } from "./drill-in-words.ts"
import { choiceOptions, each, keyOptions, signerOptions, storageOptions } from "./options.ts"

const drillOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Drill:")
    .option(
      "--target <url>",
      "restore into this server, in place of one that the drill starts; a password only in PGSTOW_TARGET",
    )
    .option(
      "--expect <file>",
      'also ask these queries: a JSON array of { "sql": …, "expect": … } (PGSTOW_EXPECTATIONS: its text)',
    )
    .option(
      "--skip-extension <name>",
      "without this extension and what needs it; may be repeated (PGSTOW_SKIP_EXTENSION)",
      each,
    )
    .option(
      "--search-path <schemas>",
      "what functions without a search_path of their own have while it restores",
    )
    .option("--jobs <n>", "streams at once, each with a connection (PGSTOW_JOBS)")
    .option(
      "--pg-bin <folder>",
      "look for PostgreSQL's programs, the server's too, here first; may be repeated (PGSTOW_PG_BIN)",
      each,
    )

export const drillCommand = defineCommand({
  name: "drill",
  summary: "restore a backup into a throw-away server, compare, and keep the finding",
  group: "Look:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "each", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions, keyOptions, drillOptions],
  flags: z.object({
    ...choiceFlags.shape,
    expect: z.string().optional(),
    searchPath: z
      .string()
      .transform((text) => text.split(",").map((schema) => schema.trim()))
      .optional(),
  }),
  examples: [
    "pgstow drill --identity pgstow.key",
    "pgstow drill 20260102T03 --database orders --expect orders.json --identity pgstow.key",
    "pgstow drill --target postgresql://admin@staging.example.com/postgres --identity pgstow.key",
  ],
  notes: [
    "It exits with 6 when the drill failed, by the backup or by what the server lacks; `pgstow show` has the finding.",
  ],
  async run({ settings, args, flags, typed }, context) {
    const result = await drill(
      {
        ...choiceOf(args, flags),
        storages: storagesOf(settings, context),
        signedBy: signedByOf(settings),
        identities: await identitiesOf(settings, context),
        target: targetOf(settings, typed, context),
        clientFolders: settings.pgBin,
        skipExtensions: settings.skipExtension,
        searchPath: flags.searchPath,
        expectations: await expectationsOf(settings, flags),
        jobs: settings.jobs,
      },
      context,
    )
    const failure = drillFailure(result)
    return {
      title: `${result.kind} ${result.id}`,
      result,
      text: formatDrill(result),
      isAnswer: true,
      failure,
      events: [eventOf(result, failure)],
    }
  },
})

/** The queries of the file; those of the variable where none is named. */
async function expectationsOf(
  { expectations }: Settings,
  { expect }: { readonly expect?: string | undefined },
): Promise<readonly Expectation[]> {
  if (expect !== undefined) return readExpectations(expect)
  return expectations === undefined ? [] : parseExpectations(expectations, variableOf("expectations"))
}

function eventOf(
  { database, id, storage, drill, seconds }: DrillResult,
  failure: PgstowError | undefined,
): PgstowEvent {
  if (!failure)
    return {
      type: "Drill Succeeded",
      database,
      id,
      storage,
      restoreSeconds: drill?.restoreSeconds ?? 0,
      seconds,
    }
  const hint = failure.hint === undefined ? {} : { hint: failure.hint }
  return { type: "Drill Failed", database, id, error: messageOf(failure), ...hint }
}

export function formatDrill({
  storage,
  database,
  id,
  kind,
  problems,
  drill,
  storedBytes,
  seconds,
}: DrillResult): string {
  return [
    `${kind}: ${id} of ${database} in ${storage}: ${formatBytes(storedBytes)} in ${formatDuration(seconds)}`,
    ...(drill ? drillInWords(drill).map((line) => `  ${line}`) : []),
    ...(drill
      ? [`  a restore takes about ${formatDuration(drill.restoreSeconds)} on a machine like this one`]
      : []),
    ...problems.map((problem) => `  ${formatProblem(problem)}`),
  ]
    .map(formatName)
    .join("\n")
}
