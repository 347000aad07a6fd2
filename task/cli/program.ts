import { Argument as CommanderArgument, Command as CommanderCommand } from "commander"
import { backupCommand } from "../commands/backup.ts"
import { catCommand } from "../commands/cat.ts"
import { cleanupCommand } from "../commands/cleanup.ts"
import { type Argument, type Command, commandGroups } from "../commands/command.ts"
import { completionCommand } from "../commands/completion.ts"
import { diffCommand } from "../commands/diff.ts"
import { doctorCommand } from "../commands/doctor.ts"
import { drillCommand } from "../commands/drill.ts"
import { exportCommand } from "../commands/export.ts"
import { globalsCommand } from "../commands/globals.ts"
import { importCommand } from "../commands/import.ts"
import { initCommand } from "../commands/init.ts"
import { keygenCommand } from "../commands/keygen.ts"
import { listCommand } from "../commands/list.ts"
import { manCommand } from "../commands/man.ts"
import { migrateCommand } from "../commands/migrate.ts"
import { configOptions, outputOptions } from "../commands/options.ts"
import { pinCommand } from "../commands/pin.ts"
import { removeCommand } from "../commands/remove.ts"
import { reportCommand } from "../commands/report.ts"
import { restoreCommand } from "../commands/restore.ts"
import { scheduleCommand } from "../commands/schedule.ts"
import { showCommand } from "../commands/show.ts"
import { statusCommand } from "../commands/status.ts"
import { unpinCommand } from "../commands/unpin.ts"
import { verifyCommand } from "../commands/verify.ts"
import { wrapText } from "../console/format.ts"
import type { ProgramShape } from "../help/program-shape.ts"
import { version } from "../version.ts"
import { describeProgram } from "./describe-program.ts"

/** In the order of help within each group. */
const commands: readonly Command[] = [
  backupCommand,
  importCommand,
  listCommand,
  showCommand,
  diffCommand,
  statusCommand,
  reportCommand,
  verifyCommand,
  drillCommand,
  restoreCommand,
  exportCommand,
  catCommand,
  globalsCommand,
  cleanupCommand,
  pinCommand,
  unpinCommand,
  removeCommand,
  initCommand,
  doctorCommand,
  keygenCommand,
  scheduleCommand,
  migrateCommand,
  completionCommand,
  manCommand,
]

/** What was typed after the program's name. */
export type Typed = {
  /** Flags by their names in camel case; none that was not typed. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly args: readonly string[]
}

/** The command line with every command; `run` is called with the one that was asked for. */
export function makeProgram(run: (command: Command, typed: Typed) => Promise<void>): CommanderCommand {
  const program = new CommanderCommand("pgstow")
    .description("Encrypted, verified, restorable backups of PostgreSQL.")
    .version(version)
    .showSuggestionAfterError()
    .exitOverride()
    // One line for each command.
    .configureHelp({ subcommandTerm: (command) => command.name() })
  for (const group of commandGroups)
    for (const command of commands.filter((one) => one.group === group)) addCommand(program, command, run)
  const help = program.createCommand("help").argument("[command]").description("explain a command")
  program.addHelpCommand(help.helpGroup("Set up:"))
  return program.addHelpText(
    "after",
    formatExamples([
      "pgstow backup --storage s3://my-bucket/pgstow --recipient age1...",
      "pgstow list --storage s3://my-bucket/pgstow",
      "pgstow restore latest --storage s3://my-bucket/pgstow --identity pgstow.key --into orders_restored",
    ]),
  )
}

function addCommand(
  program: CommanderCommand,
  definition: Command,
  run: (command: Command, typed: Typed) => Promise<void>,
): void {
  const { name, summary, group, argument, secondArgument, options, examples, notes = [] } = definition
  const command = program.command(name).description(summary).helpGroup(group)
  const common = definition.config === undefined ? [outputOptions] : [configOptions, outputOptions]
  for (const addOptions of [...options, ...common]) addOptions(command)
  command.addHelpText(
    "after",
    [formatExamples(examples), ...notes.map((note) => wrapText(note, 80, "").join("\n"))].join("\n\n"),
  )
  for (const one of [argument, secondArgument]) if (one) command.addArgument(argumentOf(one))
  command.action(async function (this: CommanderCommand) {
    // Only what was typed: a default of commander's must not go before the environment.
    const typed = Object.entries(this.opts()).filter(
      ([option]) => this.getOptionValueSource(option) === "cli",
    )
    await run(definition, { flags: Object.fromEntries(typed), args: this.args })
  })
}

function argumentOf({ syntax, description, choices }: Argument): CommanderArgument {
  const argument = new CommanderArgument(syntax, description)
  return choices === undefined ? argument : argument.choices(choices)
}

/** What the command line consists of, for what is generated from it. */
export function programShape(): ProgramShape {
  return describeProgram(
    makeProgram(async () => {}),
    commands,
  )
}

function formatExamples(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`
}
