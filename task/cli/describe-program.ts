import type { Command as CommanderCommand, Option } from "commander"
import type { Command } from "../commands/command.ts"
import type { OptionShape, ProgramShape } from "../help/program-shape.ts"
import { version } from "../version.ts"

/** What the command line consists of, as commander has it, with what the commands add to their help. */
export function describeProgram(program: CommanderCommand, definitions: readonly Command[]): ProgramShape {
  return {
    name: program.name(),
    version,
    description: program.description(),
    commands: program.commands.map((command) => {
      const definition = definitions.find(({ name }) => name === command.name())
      return {
        name: command.name(),
        summary: command.description(),
        group: withoutColon(command.helpGroup()),
        arguments: command.registeredArguments.map((argument) => ({
          syntax: nameInUsage(argument.name(), argument),
          name: argument.name(),
          description: argument.description,
          choices: argument.argChoices ?? [],
        })),
        options: command.options.map(describeOption),
        examples: definition?.examples ?? [],
        notes: definition?.notes ?? [],
      }
    }),
  }
}

function describeOption({ flags, long, description, helpGroupHeading, argChoices }: Option): OptionShape {
  const [syntax] = /[<[].*$/.exec(flags) ?? []
  const kind = /^<(?:file|folder)>$/.exec(syntax ?? "")?.[0]
  return {
    flag: long ?? "",
    description,
    group: withoutColon(helpGroupHeading ?? "Options:"),
    repeats: description.includes("may be repeated"),
    value:
      syntax === undefined
        ? undefined
        : {
            syntax,
            kind: kind === "<file>" ? "file" : kind === "<folder>" ? "folder" : "other",
            choices: argChoices ?? [],
          },
  }
}

function withoutColon(heading: string): string {
  return heading.replace(/:$/, "")
}

function nameInUsage(
  name: string,
  { required, variadic }: { readonly required: boolean; readonly variadic: boolean },
): string {
  const all = variadic ? `${name}...` : name
  return required ? `<${all}>` : `[${all}]`
}
