import type { Command as CommanderCommand } from "commander"
import type * as z from "zod"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { ProgramShape } from "../help/program-shape.ts"
import type { PgstowEvent } from "../notify/events.ts"
import { flagOf, type Settings } from "../settings/config.ts"

/** Asks the person at the terminal a question and returns the answer; undefined where the input is at its end. */
export type Ask = (question: string) => Promise<string | undefined>

export type Invocation<Flags> = {
  readonly settings: Settings
  /** The command's own flags: those that are no settings. */
  readonly flags: Flags
  readonly args: readonly string[]
  /** The names of all flags that were typed, settings included. */
  readonly typed: ReadonlySet<string>
  /** Undefined where there is no terminal. */
  readonly ask: Ask | undefined
  readonly report: Report
  /**
   * Reads another command line, as the program would in this environment or another. Throws the usage error that it would
   * end with.
   */
  readonly read: (args: readonly string[], env?: Context["env"]) => Promise<CommandLine>
  /** What the whole command line consists of. */
  readonly shape: () => ProgramShape
  /** The columns of the terminal that standard output is; Infinity where it is none. */
  readonly width: number
  /** Whether standard output is a terminal that shows characters of bars. */
  readonly showsBars: boolean
  /** Standard output, for what is too large to be handed back. */
  readonly stdout: NodeJS.WriteStream
}

/** A command line that was read, and not run. With a file of settings it is several runs, one for each database. */
export type CommandLine = {
  readonly name: string
  readonly runs: readonly {
    readonly settings: Settings
    readonly flags: unknown
    /** As `Invocation` has them. */
    readonly args: readonly string[]
    /** Why this one can't be made, though others can. */
    readonly problem?: PgstowError | undefined
  }[]
}

/** Shows what comes of each of several things as it comes, before the command's own outcome. */
export type Report = {
  /** Where JSON is wanted it is only recorded: the outcome has it all. */
  readonly result: (part: Part) => void
  /** What one of them failed of, with its hint. */
  readonly failure: (failure: PgstowError) => void
}

/** What a command hands back: the result for machines, and the same for people. */
export type Part = {
  /** A few words, for the log. */
  readonly title: string
  readonly result: unknown
  readonly text: string
  /** Gives the text colours, on a terminal that has any: called when all in it is safe there. */
  readonly paint?: (text: string) => string
  /** Whether the text is what was asked for (a list), wanted also where there is no terminal. */
  readonly isAnswer: boolean
}

export type Outcome = Part & {
  /** Whether the answer is in standard output already: no text and no result are added to it. */
  readonly isWritten?: boolean
  /** What went wrong although there is a result. */
  readonly failure?: PgstowError | undefined
  /** What to report elsewhere. */
  readonly events?: readonly PgstowEvent[] | undefined
}

/** Adds some options to a command. */
export type OptionGroup = (command: CommanderCommand) => CommanderCommand

/** What people want to do, in the order in which help shows it. */
export const commandGroups = ["Back up:", "Look:", "Get it back:", "Manage backups:", "Set up:"] as const

/** How a command uses a file of settings (--config). */
export type ConfigUse = {
  /** Each of the file's databases in turn, or those that are named; or one alone, which is named where there are several. */
  readonly runs: "each" | "one"
  /** What its arguments are. Where they are backups, they are those of one database. */
  readonly args: "databases" | "backups" | "other"
  /** Which of a database's connections it uses. */
  readonly connects?: "connection" | "restoreConnection"
  /** Whether it has nothing to do, in place of a failure, where no database of a server is stored yet. */
  readonly mayFindNone?: true
  /** The flag that was given, where it can be about one database alone. */
  readonly aboutOne?: (flags: Readonly<Record<string, unknown>>) => string | undefined
}

/** As commander writes it: "[optional]", "<required>". */
export type Argument = {
  readonly syntax: string
  readonly description: string
  /** What it may be; anything, where none are named. */
  readonly choices?: readonly string[]
}

/** One command of the program: what help says of it, its options, and what it does. */
export type Command = {
  readonly name: string
  readonly summary: string
  readonly group: (typeof commandGroups)[number]
  readonly argument?: Argument | undefined
  /** What may follow it. */
  readonly secondArgument?: Argument | undefined
  readonly options: readonly OptionGroup[]
  /** Whether it touches nothing but its output, so that it works on Windows, too. */
  readonly anywhere?: boolean
  /** Undefined where a file of settings has nothing to say. */
  readonly config?: ConfigUse
  /** Command lines, one a line. */
  readonly examples: readonly string[]
  /** What else its help says, a sentence each. */
  readonly notes?: readonly string[]
  /** `flags` is what was typed, as commander parsed it; what is not the command's own is ignored. */
  run(invocation: Invocation<unknown>, context: Context): Promise<Outcome>
}

type Definition<Schema extends z.ZodObject> = Omit<Command, "run"> & {
  /** The command's own flags: those that are no settings. */
  readonly flags: Schema
  run(invocation: Invocation<z.output<Schema>>, context: Context): Promise<Outcome>
}

export function defineCommand<Schema extends z.ZodObject>(definition: Definition<Schema>): Command {
  return {
    ...definition,
    run: async ({ flags, ...invocation }, context) =>
      definition.run({ ...invocation, flags: readFlags(definition.flags, flags) }, context),
  }
}

function readFlags<Schema extends z.ZodObject>(schema: Schema, flags: unknown): z.output<Schema> {
  const parsed = schema.safeParse(flags)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = flagOf(String(issue?.path[0] ?? ""))
  throw new PgstowError("usage", `${where} ${issue?.message ?? "is wrong"}`, {
    hint: `Fix ${where}, or leave it out.`,
  })
}
