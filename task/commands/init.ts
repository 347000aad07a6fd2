import { existsSync, readFileSync } from "node:fs"
import { rm } from "node:fs/promises"
import { dirname, relative, resolve } from "node:path"
import { parseEnv } from "node:util"
import * as z from "zod"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { keygen } from "../keys/keygen.ts"
import { parseRecipients } from "../keys/recipients.ts"
import { shellWord } from "../processes/shell-word.ts"
import { flagOf, variableOf, variablesBeside } from "../settings/config.ts"
import { connectionSettings } from "../settings/configured-connection.ts"
import {
  checkName,
  connectionAnswer,
  existsAlready,
  nameFor,
  retentionAnswer,
  retentionRules,
  scheduleAnswer,
  storagesAnswer,
  storagesIn,
  writeNewFile,
} from "../settings/initial-settings.ts"
import { settingsIn } from "../settings/read-config-file.ts"
import { refuseUnnamed } from "../settings/refuse-unnamed.ts"
import { type Ask, defineCommand, type Invocation, type OptionGroup, type Outcome } from "./command.ts"
import { doctorCommand } from "./doctor.ts"
import { each } from "./options.ts"

const initOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Answers (what is given is not asked):")
    .option(
      "--from <where>",
      "where the database's URL is: a variable's name, a file's path, service:NAME, or a URL without a password",
    )
    .option("--storage <url>", "where to keep backups; may be repeated", each)
    .option("--at <time>", "when to back up, every day: 03:00")
    .option("--keep <rules>", 'what to keep: "7 daily, 5 weekly, 12 monthly", "30 days", "last 10", or all')
    .optionsGroup("Files:")
    .option("--out <file>", "the file of settings to write (default pgstow.config.json)")
    .option("--key <file>", "where the new key goes (default pgstow.key, beside it)")
    .option(
      "--recipient <age1...>",
      "seal for this public key in place of a new one; may be repeated (PGSTOW_RECIPIENTS)",
      each,
    )
    .option("--name <name>", "the name to keep the backups under (default: the database's)")

const defaults = {
  from: "DATABASE_URL",
  storage: "file:///var/backups/pgstow",
  at: "03:00",
  keep: "7 daily, 5 weekly, 12 monthly",
}

export const initCommand = defineCommand({
  name: "init",
  summary: "ask four questions, write a file of settings and a key, and check that they work",
  group: "Set up:",
  options: [initOptions],
  flags: z.object({
    from: z.string().optional(),
    at: z.string().optional(),
    keep: z.string().optional(),
    out: z.string().min(1, "names no file").default("pgstow.config.json"),
    key: z.string().min(1, "names no file").optional(),
  }),
  examples: [
    "pgstow init",
    'pgstow init --from ORDERS_URL --storage s3://my-bucket/pgstow --at 02:30 --keep "30 days"',
  ],
  notes: [
    "It writes at the end, and never over a file. It fails where doctor then finds that no backup could be made.",
  ],
  async run(invocation, context) {
    const { settings, flags, typed, ask } = invocation
    const file = resolve(flags.out)
    const key = flags.key === undefined ? resolve(dirname(file), "pgstow.key") : resolve(flags.key)
    const recipients = parseRecipients(settings.recipient)
    // Before anything is asked.
    if (existsSync(file)) throw existsAlready(flags.out, "--out")
    if (recipients.length === 0 && existsSync(key))
      throw new PgstowError("usage", `${relative(".", key)} exists already`, {
        hint: 'Give its public half by --recipient (it is in the file, behind "public key:"), or another file by --key.',
      })
    const given = settings.name === undefined ? undefined : checkName(settings.name)
    const answers = {
      from: flags.from,
      storage: typed.has("storage") ? settings.storage.join(" ") : undefined,
      at: flags.at,
      keep: flags.keep,
    }
    refuseUnasked(answers, ask)
    const question = questionsBy(ask, context)

    const { connection, databaseUrl } = await question(
      "1. Where is the database's URL? A variable's name, a file's path, or service:NAME",
      { given: answers.from, usual: defaults.from },
      async (text) => {
        const reached = connectionAnswer(text)
        const surroundings = { ...context, readSecret: readAwsSecret }
        const found = await connectionSettings(reached, "the database", surroundings)
        refuseUnnamed(found, "the database")
        return { connection: reached, ...found }
      },
    )
    const name = given ?? nameFor(databaseUrl)
    const storages = await question(
      "2. Where are backups kept? file:///folder or s3://bucket/prefix, several separated by spaces",
      { given: answers.storage, usual: settings.storage.join(" ") || defaults.storage },
      (text) => storagesAnswer(text, context.env),
    )
    const { at, schedule } = await question(
      "3. At what time of day?",
      { given: answers.at, usual: defaults.at },
      (text) => ({ at: text, schedule: scheduleAnswer(text) }),
    )
    const retention = await question(
      "4. What is kept? Rules like 7 daily, 30 days or last 10, or all",
      { given: answers.keep, usual: defaults.keep },
      retentionAnswer,
    )

    const made = recipients.length === 0 ? await keygen({ out: key }, context) : undefined
    try {
      context.signal.throwIfAborted()
      const initial = {
        storages,
        recipients: made === undefined ? recipients : [made.recipient],
        ...(retention === undefined ? {} : { retention, cleanup: true }),
        databases: [{ name, connection, schedule }],
      }
      // Before it is there: settings that seal for a key that was removed would make backups nobody can open.
      settingsIn(initial, flags.out)
      await writeNewFile(file, initial)
    } catch (error) {
      // A key without the settings that seal for it is of no use: nothing has been written where this is reached.
      if (made !== undefined) await rm(key, { force: true })
      throw error
    }
    context.log.info(`wrote ${flags.out}: it backs up ${formatName(name)}`)
    if (made !== undefined)
      context.log.info(
        `the key that opens the backups is in ${relative(".", key)}: move it to another machine, since backups do not need it, and restores do (--identity)`,
      )
    const instead = usedInstead(storages, context.env)
    if (instead.length > 0)
      context.log.warn(
        `the environment has ${instead.join(", ")}, which every run takes in place of what ${flags.out} says: unset it, so that your answers count`,
      )
    const { outcome, failure } = await examine(file, invocation, context)
    if (outcome) invocation.report.result(outcome)
    const next = nextSteps(file, connection, { at, program: programIn(context.env), env: context.env })
    return {
      title: `wrote ${flags.out}`,
      result: {
        file,
        key: made === undefined ? null : key,
        recipients: made === undefined ? recipients : [made.recipient],
        doctor: outcome?.result ?? null,
        next,
      },
      text: outcome ? `\n${next}` : next,
      isAnswer: true,
      failure:
        failure &&
        new PgstowError(failure.kind, `${flags.out} is written, and no backup can be made by it yet`, {
          cause: failure,
          hint: `Put that right, then run \`${programIn(context.env)} doctor --config ${flags.out}\`.`,
        }),
    }
  },
})

/** Throws where something would have to be asked, and nobody is there. */
function refuseUnasked(answers: Readonly<Record<string, string | undefined>>, ask: Ask | undefined): void {
  const missing = Object.entries(answers).flatMap(([name, answer]) =>
    answer === undefined ? [flagOf(name)] : [],
  )
  if (ask !== undefined || missing.length === 0) return
  throw new PgstowError("usage", "init asks questions, and there is no terminal", {
    hint: `Run it on a terminal, or answer by ${missing.join(", ")}.`,
  })
}

/** The variables that go before an answer, but for one that says the same storages. */
function usedInstead(storages: readonly string[], env: Context["env"]): readonly string[] {
  const isSame = storagesIn(env[variableOf("storage")] ?? "").join(" ") === storages.join(" ")
  const answered = [
    ...(isSame ? [] : (["storage"] as const)),
    ...(["unencrypted", "cleanup", ...retentionRules] as const),
  ].map(variableOf)
  return variablesBeside(env).before.filter((variable) => answered.includes(variable))
}

/** What a person types to run this program again. npm says how it was started. */
function programIn(env: Context["env"]): string {
  return env.npm_command === "exec" ? "npx pgstow" : "pgstow"
}

const tries = 3

type Answer = { readonly given: string | undefined; readonly usual: string }

/** Asks until an answer can be used, and says what is wrong with the others. What was given as a flag is not asked. */
function questionsBy(ask: Ask | undefined, { log }: Pick<Context, "log">) {
  return async <Value>(
    words: string,
    { given, usual }: Answer,
    read: (text: string) => Value | Promise<Value>,
  ): Promise<Value> => {
    if (given !== undefined || ask === undefined) return read(given ?? usual)
    for (let tried = 1; ; tried++) {
      const answer = await ask(`${words} [${usual}]:`)
      // An empty line takes what is usual. The end of the input takes nothing: somebody has gone.
      if (answer === undefined)
        throw new PgstowError("notConfirmed", "the input ended before all questions were answered", {
          hint: "Nothing was written. Run it again, or answer by --from, --storage, --at, --keep.",
        })
      const typed = answer.trim()
      try {
        return await read(typed === "" ? usual : typed)
      } catch (error) {
        if (!(error instanceof PgstowError) || tried === tries) throw error
        log.warn(`${messageOf(error)}. ${error.hint ?? ""}`.trimEnd())
      }
    }
  }
}

/** What doctor may just have used of this shell's environment, and a run at night finds in a file only. */
const usedAtNight = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_PROFILE",
  "AWS_REGION",
  "AWS_ENDPOINT_URL_S3",
  "AWS_CA_BUNDLE",
  "PGPASSWORD",
  "PGPASSFILE",
  "PGSERVICEFILE",
  "PGSSLMODE",
  "PGSSLROOTCERT",
  "PGSTOW_CA_FILE",
  "PGSTOW_PG_BIN",
]

/** What to do next: lines for a person. */
function nextSteps(
  file: string,
  connection: object,
  { at, program, env }: { readonly at: string; readonly program: string; readonly env: Context["env"] },
): string {
  const dotEnv = resolve(".env")
  const kept = existsSync(dotEnv) ? parseEnv(readFileSync(dotEnv, "utf8")) : {}
  const ofUrl = "urlEnv" in connection ? [String(connection.urlEnv)] : []
  const used = [...ofUrl, ...usedAtNight.filter((name) => (env[name] ?? "") !== "")]
  const settings = used.length > 0 ? dotEnv : undefined
  const missing = used.filter((name) => kept[name] === undefined).map((name) => `${name}=…`)
  const needsFile =
    missing.length > 0
      ? `, once ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} in ${dotEnv}, readable by you alone`
      : ""
  return [
    "Back up now:",
    `  ${program} backup --config ${shellWord(file)}`,
    `Every day${needsFile}:`,
    `  ${scheduleLine(program, file, settings, at)}`,
  ].join("\n")
}

/** What has the backups made every day. A variable is there at night only where a file has it. */
function scheduleLine(program: string, file: string, settings: string | undefined, at: string): string {
  if (process.platform !== "linux") {
    const [hour, minute] = at.split(":").map(Number)
    return `${program} schedule --run "${minute} ${hour} * * *" --config ${shellWord(file)}`
  }
  const sudo = process.getuid?.() === 0 ? "" : "sudo "
  const environment = settings === undefined ? "" : ` --settings ${shellWord(settings)}`
  return `${sudo}${program} schedule --config ${shellWord(file)}${environment} --install`
}

/** What doctor says of the settings. Warnings are no failure: one is of the key that was made just now. */
async function examine(
  file: string,
  invocation: Invocation<unknown>,
  context: Context,
): Promise<{ readonly outcome?: Outcome; readonly failure?: PgstowError | undefined }> {
  try {
    const { runs } = await invocation.read(["doctor", "--config", file])
    const [run] = runs
    if (run === undefined) return {}
    const outcome = await doctorCommand.run(
      { ...invocation, settings: run.settings, flags: run.flags, args: [], typed: new Set() },
      context,
    )
    return { outcome, failure: outcome.failure?.kind === "warnings" ? undefined : outcome.failure }
  } catch (error) {
    context.signal.throwIfAborted()
    if (error instanceof PgstowError) return { failure: error }
    throw error
  }
}
