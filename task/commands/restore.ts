import { InvalidArgumentError } from "commander"
import * as z from "zod"
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatKinds,
  formatName,
  formatSpeed,
  formatText,
  wrapText,
} from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { ByHand } from "../restore/by-hand.ts"
import { formatForeseen } from "../restore/foresee.ts"
import { restoreFile } from "../restore/from-sql.ts"
import type { Prospect } from "../restore/prospect.ts"
import { rehearse, restore } from "../restore/restore.ts"
import { countOf, type RestoreResult, restoreFailure } from "../restore/result.ts"
import { type RunFile, readRunFile } from "../restore/run-file.ts"
import { type Settings, variableOf } from "../settings/config.ts"
import {
  choiceFlags,
  choiceOf,
  connectionFlags,
  connectionOf,
  identitiesOf,
  legacyFileIn,
  legacyKeyFlags,
  legacyKeysOf,
  signedByOf,
  storagesOf,
} from "../settings/inputs.ts"
import { defineCommand, type OptionGroup, type Outcome } from "./command.ts"
import {
  choiceOptions,
  each,
  keyOptions,
  legacyKeyOptions,
  serverOptions,
  signerOptions,
  storageOptions,
} from "./options.ts"

const locales = ["original", "default"] as const

const restoreOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Restore:")
    .option("--into <name>", "the database to restore into; a new one unless it exists")
    .option("--clean", "drop what is restored from an existing database first")
    .option("--table <table>", "only this table and what belongs to it; may be repeated", each)
    .option("--schema <schema>", "only this schema; may be repeated", each)
    .option("--no-owner", "everything belongs to the role that restores")
    .option("--no-acl", "leave grants out")
    .option(
      "--skip-extension <name>",
      "without this extension and what needs it; may be repeated (PGSTOW_SKIP_EXTENSION)",
      each,
    )
    .option("--no-refresh", "leave materialized views empty")
    .option("--no-publications", "without publications")
    .option("--no-subscriptions", "without subscriptions")
    .option("--no-event-triggers", "without event triggers")
    .option("--no-foreign-servers", "without foreign-data wrappers, their servers and what needs them")
    .option(
      "--not-valid",
      "keep foreign keys that some rows violate, for new rows only (NOT VALID); in a new database",
    )
    .option(
      "--search-path <schemas>",
      "what functions without a search_path of their own have meanwhile, in a new database",
    )
    .option(
      "--run <file>",
      "run this SQL in the new database when all is there, before it gets its name: to mask or reset (PGSTOW_RUN_SQL: its text)",
    )
    .option("--replace", "drop the database of that name when all is there, if such a restore made it")
    .option("--no-tablespaces", "everything lies in the database's own tablespace")
    .option("--role <role>", "everything belongs to this role")
    .option("--create-roles", "first make the backup's roles that the server lacks, without passwords")
    .option(
      "--locale <which>",
      "original, or default: the target's own, where it lacks the original",
      (value) => {
        if (locales.some((locale) => locale === value)) return value
        throw new InvalidArgumentError(`It must be one of ${locales.join(", ")}.`)
      },
    )
    .option("--jobs <n>", "streams at once into a new database, each with a connection (PGSTOW_JOBS)")
    .option("--no-analyze", "leave the planner's statistics for later")
    .option("--dry-run", "show what would be done and what would fail, and do nothing")
    .option("--anyway", "go on in spite of what is foreseen to fail")
    .option("--yes", "do not ask; what is foreseen to fail still ends the restore")

export const restoreCommand = defineCommand({
  name: "restore",
  summary: "restore a backup, into a new database unless told otherwise",
  group: "Get it back:",
  argument: {
    syntax: "[backup]",
    description: "latest, an id, or the beginning of one; or a file of Emiti or Sentinel",
  },
  config: { runs: "one", args: "backups", connects: "restoreConnection" },
  options: [
    serverOptions,
    storageOptions,
    signerOptions,
    choiceOptions,
    keyOptions,
    legacyKeyOptions,
    restoreOptions,
  ],
  flags: z.object({
    ...connectionFlags.shape,
    ...choiceFlags.shape,
    ...legacyKeyFlags.shape,
    into: z.string().optional(),
    clean: z.boolean().default(false),
    table: z.array(z.string()).default([]),
    schema: z.array(z.string()).default([]),
    owner: z.boolean().default(true),
    acl: z.boolean().default(true),
    tablespaces: z.boolean().default(true),
    refresh: z.boolean().default(true),
    publications: z.boolean().default(true),
    subscriptions: z.boolean().default(true),
    eventTriggers: z.boolean().default(true),
    foreignServers: z.boolean().default(true),
    notValid: z.boolean().default(false),
    searchPath: z
      .string()
      .transform((text) => text.split(",").map((schema) => schema.trim()))
      .optional(),
    role: z.string().min(1, "names no role").optional(),
    run: z.string().optional(),
    replace: z.boolean().default(false),
    createRoles: z.boolean().default(false),
    locale: z.enum(locales).default("original"),
    analyze: z.boolean().default(true),
    dryRun: z.boolean().default(false),
    anyway: z.boolean().default(false),
    yes: z.boolean().default(false),
  }),
  examples: [
    "pgstow restore latest --into orders_restored --identity pgstow.key",
    "pgstow restore --at 2026-01-02T03:00Z --database orders --table public.invoices --into rescue",
    "pgstow restore latest --into staging --run mask.sql --replace",
    "pgstow restore ./sentinel_backup_20251215_163138.sql.gz --into assets",
  ],
  notes: [
    "The file of --run goes to one psql, as the user that restores, and the first error ends it: the database stays incomplete_… then. psql obeys its backslash commands (\\copy, \\i, \\!) where psql runs, which with --exec is there; so run only files of your own.",
  ],
  async run({ settings, args, flags, ask, width }, context) {
    const { into, clean, table, schema, owner, acl, role, locale, analyze, yes } = flags
    if (flags.createRoles && legacyFileIn(args) !== undefined)
      throw new PgstowError("usage", "a file of Emiti or Sentinel holds no roles", {
        hint: "Leave --create-roles out, and make them by hand.",
      })
    if (flags.dryRun && legacyFileIn(args) !== undefined)
      throw new PgstowError("usage", "a file of Emiti or Sentinel can't be looked into", {
        hint: "Leave --dry-run out: it is restored all or not at all.",
      })
    if (flags.replace && (clean || into === undefined))
      throw new PgstowError(
        "usage",
        clean
          ? "--clean and --replace contradict each other"
          : "--replace takes the name of the database, by --into",
        { hint: "Give --into NAME --replace." },
      )
    const options = {
      connection: await connectionOf(settings, flags, context),
      clientFolders: settings.pgBin,
      into,
      selection: table.length + schema.length > 0 ? { tables: table, schemas: schema } : undefined,
      owners: role === undefined ? (owner ? "keep" : "none") : { role },
      grants: acl ? "keep" : "none",
      tablespaces: flags.tablespaces ? "keep" : "none",
      leaveOut: {
        extensions: settings.skipExtension,
        refreshes: !flags.refresh,
        publications: !flags.publications,
        subscriptions: !flags.subscriptions,
        eventTriggers: !flags.eventTriggers,
        foreignServers: !flags.foreignServers,
      },
      notValid: flags.notValid,
      searchPath: flags.searchPath,
      run: await runOf(settings, flags, context.env),
      clean,
      replace: flags.replace,
      locale,
      analyze,
      yes,
      ask,
    } as const
    const file = legacyFileIn(args)
    if (file !== undefined)
      return outcomeOf(
        await restoreFile(file, { ...options, keys: await legacyKeysOf(settings, flags) }, context),
      )
    const all = {
      ...options,
      ...choiceOf(args, flags),
      storages: storagesOf(settings, context),
      identities: await identitiesOf(settings, context),
      signedBy: signedByOf(settings),
      jobs: settings.jobs,
      createRoles: flags.createRoles,
      anyway: flags.anyway,
    }
    return flags.dryRun
      ? prospectOutcome(await rehearse(all, context), width)
      : outcomeOf(await restore(all, context))
  },
})

/**
 * The file to run; the text of the variable where none is named. Throws where the variable is set to nothing and a
 * database is to be replaced: what should have masked it, as by "$(cat mask.sql)", may not have been read.
 */
async function runOf(
  { runSql }: Settings,
  { run, replace }: { readonly run?: string | undefined; readonly replace: boolean },
  env: Context["env"],
): Promise<RunFile | undefined> {
  if (run !== undefined) return readRunFile(run)
  const variable = variableOf("runSql")
  if (runSql === undefined ? replace && env[variable] !== undefined : runSql.trim() === "")
    throw new PgstowError("usage", `${variable} is empty`, {
      hint: "Put the statements there that are to run, or unset it.",
    })
  return runSql === undefined ? undefined : { file: variable, sql: Buffer.from(runSql) }
}

function outcomeOf(result: RestoreResult): Outcome {
  const { id, database, seconds } = result
  const failure = restoreFailure(result)
  return {
    title: failure
      ? `${id} into ${result.into}: ${howItEnded(result)}`
      : `restored ${id} into ${result.into}`,
    result,
    text: formatRestore(result),
    isAnswer: false,
    failure,
    events: failure
      ? undefined
      : [{ type: "Restore Succeeded", database, id, into: result.into, seconds } as const],
  }
}

function prospectOutcome(prospect: Prospect, width: number): Outcome {
  const { id, into, refusal } = prospect
  return {
    title: `dry run of restoring ${id} into ${into}`,
    result: prospect,
    text: formatProspect(prospect, width),
    isAnswer: true,
    failure: refusal ? new PgstowError(refusal.kind, refusal.message, { hint: refusal.hint }) : undefined,
    // Nothing has failed that anybody relied on.
    events: [],
  }
}

export function formatProspect(prospect: Prospect, width = Number.POSITIVE_INFINITY): string {
  const { id, database, storage, serverVersion, targetMajor, into, exists, objects } = prospect
  const { tables, rows, rawBytes, downloadBytes, expected, rolesToMake, foreseen, notes } = prospect
  const before = [
    `${id} of ${formatName(database)} from ${storage}: PostgreSQL ${serverVersion === "" ? "of a version that it does not tell" : serverVersion} to ${targetMajor}`,
    exists
      ? `into the database ${formatName(into)}, which is there: in one transaction, all or nothing`
      : `into a new database ${formatName(into)}`,
    ...(rolesToMake.length > 0 ? [`roles to make first: ${rolesToMake.map(formatName).join(", ")}`] : []),
    `${formatCount(tables, "table")}${rows === null ? "" : `, about ${formatCount(rows, "row")}`}, ${formatBytes(rawBytes)}; ${formatBytes(downloadBytes)} to download`,
    ...(objects === null ? [] : [`objects: ${formatKinds(objects).join(", ")}`]),
    expected === null
      ? "how long it takes is not known"
      : `about ${formatDuration(expected.seconds)}, by ${expected.from}`,
    ...notes.map((note) => `note: ${formatName(note)}`),
  ]
  return [
    ...before.flatMap((line) => wrapText(line, width, "  ")),
    ...(foreseen.length > 0
      ? ["what would fail:", ...formatForeseen(foreseen, width)]
      : [objects === null ? "nothing that is known would fail" : "nothing is foreseen to fail"]),
    "this was a dry run: nothing was made or changed",
  ].join("\n")
}

export function formatRestore(result: RestoreResult): string {
  const { id, database, into, state, tables, rawBytes, seconds, errors, byHand } = result
  const { leftOut, warnings, ran, rename } = result
  const what = `${id} of ${formatName(database)}`
  const { restoredBytes } = result
  const size = `${formatCount(tables, "table")}, ${formatBytes(restoredBytes ?? rawBytes)}`
  // How fast some tables come says nothing: all of what is beside them is read as well.
  const speed = restoredBytes === undefined ? formatSpeed(rawBytes, seconds) : formatDuration(seconds)
  return [
    state === "restored"
      ? `restored ${what} into ${formatName(into)}: ${size} in ${speed}`
      : howItEnded(result),
    ...errors.flatMap(({ title, hint, count, examples }) => [
      `  ${title} (${count}): ${hint}`,
      ...examples.flatMap(({ message, entry, detail, statement }) => [
        `    ${formatName(message)}${entry === null ? "" : ` [${formatName(entry)}]`}`,
        ...[detailIn(detail), byHand.length > 0 ? undefined : statement?.replaceAll(/\s+/g, " ")].flatMap(
          (text) => (text === undefined ? [] : `      ${formatName(text.slice(0, 300))}`),
        ),
      ]),
      ...(count > examples.length ? [`    and ${count - examples.length} more`] : []),
    ]),
    ...formatByHand(byHand, into),
    ...leftOut.map((entry) => `  left out because it depends on what is not restored: ${formatName(entry)}`),
    ...(ran === null ? [] : [`  ran ${formatName(ran)} in it`]),
    ...warnings.map((warning) => `  warning: ${formatName(warning)}`),
    ...(rename.length > 0
      ? ["to take the original's place, in psql with another database while nobody uses these:"]
      : []),
    ...rename.map((statement) => `  ${formatName(statement)}`),
  ].join("\n")
}

/** What has happened, of a restore that is not complete. What that makes of it is for the failure alone to say. */
function howItEnded({ state, seconds, errors, failure }: RestoreResult): string {
  const count = errors.length > 0 ? formatCount(countOf(errors), "error") : ""
  const after = formatDuration(seconds)
  if (state !== "unchanged" && failure === null) return `ran to its end in ${after}, with ${count}`
  return `stopped after ${after}${state === "unchanged" ? ", and rolled back" : ""}${count === "" ? "" : `: ${count}`}`
}

const byHandShown = 3
const longestShown = 4_000

function formatByHand(all: readonly ByHand[], into: string): string[] {
  if (all.length === 0) return []
  const shown = all.slice(0, byHandShown)
  const more = all.length - shown.length
  return [
    `  to finish by hand, in this order, when what refused it is right (SQL in ${formatName(into)}):`,
    ...shown.flatMap(({ what, run }) => [
      `    ${formatName(what)}`,
      ...(run.length > longestShown
        ? [`      ${formatCount(run.length, "character")}: --json has them`]
        : formatText(run)
            .split("\n")
            .map((line) => `      ${line}`)),
    ]),
    ...(more > 0 ? [`    and ${more} more: --json has all of them (byHand)`] : []),
  ]
}

/** The row, as far as the server shows it. */
function detailIn(detail: string | null): string | undefined {
  return /^(?:DETAIL|CONTEXT): +(.*)$/m.exec(detail ?? "")?.[1]
}
