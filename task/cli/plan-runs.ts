import type { Command } from "../commands/command.ts"
import type { Log } from "../console/log.ts"
import { PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import {
  type FileSettings,
  flagOf,
  readSettings,
  type Settings,
  variablesBeside,
} from "../settings/config.ts"
import { channelTexts, connectionSettings } from "../settings/configured-connection.ts"
import { connectionFlags } from "../settings/inputs.ts"
import {
  type ConfigFile,
  type ConfiguredDatabase,
  chooseConfigured,
  readConfigFile,
} from "../settings/read-config-file.ts"
import { refuseUnnamed } from "../settings/refuse-unnamed.ts"
import type { Typed } from "./program.ts"

/** One run of a command. */
export type PlannedRun = Typed & {
  readonly settings: Settings
  /** By a file of settings: which entry of it the run is of. */
  readonly entry?: ConfiguredDatabase
  /** Why it can't be made. */
  readonly problem?: PgstowError | undefined
  /** A server's, whose databases are known only where they are stored or connected to. */
  readonly isServer?: boolean
}

export type Surroundings = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: Log
}

/** libpq's variables that would make one database of all that a file of settings names. */
const variablesPassedOver = ["PGDATABASE"]

/** The environment that the runs of a file of settings are in. */
export function environmentOf({ entry }: PlannedRun, env: Surroundings["env"]): Surroundings["env"] {
  if (entry === undefined) return env
  return Object.fromEntries(Object.entries(env).filter(([name]) => !variablesPassedOver.includes(name)))
}

/**
 * The runs that a command line asks for: one, or with a file of settings one for each database that is meant, with the
 * settings of that. Throws a usage error for a file that can't be used, and for flags that do not go with it.
 */
export async function planRuns(
  command: Command,
  typed: Typed,
  { env, log }: Surroundings,
): Promise<PlannedRun[]> {
  const settings = readSettings(typed.flags, env)
  if (command.config === undefined || settings.config === undefined) return [{ ...typed, settings }]
  const file = await readConfigFile(settings.config)
  const { runs, args, connects } = command.config
  const chosen = chooseConfigured(file, namesIn(command, typed))
  sayWhatCounts(file, env, log)
  refuseFlags(command, typed, chosen.length)
  if (chosen.length > 1 && (runs === "one" || (args === "backups" && namesBackup(typed))))
    throw new PgstowError(
      "usage",
      `${file.path} has several databases, and \`${command.name}\` is about one`,
      {
        hint: `Name it by --database: ${chosen.map(({ entry }) => entry.name).join(", ")}.`,
      },
    )
  const planned: PlannedRun[] = []
  for (const { entry, ofServer } of chosen) {
    const where = `${entry.name} in ${file.path}`
    const surroundings = { env, log, readSecret: readAwsSecret }
    const { connection, problem } = await connectionOrProblem(
      entry,
      connects,
      where,
      surroundings,
      entry.all || typed.flags.dbname !== undefined,
    )
    // One that can't even be connected to does not stop the others.
    if (problem !== undefined && chosen.length === 1) throw problem
    const values = {
      ...entry.settings.values,
      ...connection,
      notify: await channelTexts(entry, surroundings),
      ...(ofServer === undefined ? {} : { include: [ofServer] }),
    } satisfies FileSettings["values"]
    const database = ofServer ?? (entry.all ? undefined : entry.name)
    const isOfCatalog = connects !== "connection"
    planned.push({
      entry,
      problem,
      isServer: isOfCatalog && database === undefined,
      settings: readSettings(typed.flags, env, { ...entry.settings, values }),
      flags: isOfCatalog && database !== undefined ? { ...typed.flags, database } : typed.flags,
      args: args === "databases" ? [] : typed.args,
    })
  }
  return planned
}

async function connectionOrProblem(
  entry: ConfiguredDatabase,
  connects: "connection" | "restoreConnection" | undefined,
  where: string,
  surroundings: Parameters<typeof connectionSettings>[2],
  isNamedElsewhere: boolean,
): Promise<{ readonly connection: FileSettings["values"]; readonly problem?: PgstowError }> {
  if (connects === undefined) return { connection: {} }
  try {
    const connection = await connectionSettings(entry[connects], where, surroundings)
    if (connects === "connection" && !isNamedElsewhere) refuseUnnamed(connection, where)
    return { connection }
  } catch (error) {
    if (!(error instanceof PgstowError)) throw error
    return { connection: {}, problem: error }
  }
}

/** The names of databases on the command line. */
function namesIn({ config }: Command, { flags, args }: Typed): string[] {
  const { database } = flags
  const named = typeof database === "string" ? [database] : []
  if (config?.args !== "databases" || args.length === 0) return named
  if (named.length > 0 && args[0] !== database)
    throw new PgstowError("usage", "two databases were given, by the argument and by --database", {
      hint: "Give one of them, or leave both out for all.",
    })
  return [...args]
}

function namesBackup({ flags, args }: Typed): boolean {
  return args.length > 0 || flags.backup !== undefined
}

/** Throws where flags say what the file says, or say of several databases what can be true of one. */
function refuseFlags({ config, name }: Command, { flags }: Typed, databases: number): void {
  const given = (names: readonly string[]) => names.find((one) => flags[one] !== undefined)
  const stated = config?.connects === "connection" ? given(["name", "all", "include", "exclude"]) : undefined
  if (stated !== undefined)
    throw new PgstowError("usage", `${flagOf(stated)} and a file of settings contradict each other`, {
      hint: `The file says what there is to back up: name its databases behind \`${name}\`, or leave them out for all.`,
    })
  if (databases < 2) return
  const ofOne = given([
    ...Object.keys(connectionFlags.shape),
    "table",
    "schema",
    "excludeTable",
    "excludeSchema",
    "excludeTableData",
  ])
  const flag = ofOne === undefined ? config?.aboutOne?.(flags) : flagOf(ofOne)
  if (flag !== undefined)
    throw new PgstowError("usage", `${flag} is about one database, and the file of settings has several`, {
      hint: "Name the one that is meant.",
    })
}

function sayWhatCounts({ path, idle, databases }: ConfigFile, env: Surroundings["env"], log: Log): void {
  const { before, unused: beside } = variablesBeside(env)
  const named = databases.flatMap(({ connection, restoreConnection }) => [connection, restoreConnection])
  const unused = [
    ...beside,
    ...variablesPassedOver.filter((variable) => (env[variable] ?? "") !== ""),
  ].filter((variable) => !named.some((one) => "urlEnv" in one && one.urlEnv === variable))
  if (before.length > 0)
    log.info(`${before.join(", ")} of the environment: used in place of what ${path} says`)
  if (unused.length > 0) log.info(`${unused.join(", ")} of the environment: not used, since ${path} says it`)
  if (idle.length > 0) log.info(`${path}: ${idle.join(", ")} is for the stack on AWS, and means nothing here`)
}
