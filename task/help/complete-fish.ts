import { helpOption, type ProgramShape } from "./program-shape.ts"

/** What fish sources to complete the program's command line. */
export function completeFish({ name, commands }: ProgramShape): string {
  const lines = commands.flatMap((command) => [
    `-n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`,
    ...[...command.options, helpOption].map(({ flag, description, value }) => {
      const takes = value === undefined ? "" : value.kind === "other" ? " -x" : " -r -F"
      const choices = value && value.choices.length > 0 ? ` -a ${quote(value.choices.join(" "))}` : ""
      return `${within(command.name)} -l ${flag.slice(2)}${takes}${choices} -d ${quote(description)}`
    }),
    ...command.arguments.flatMap(({ choices, description }) =>
      choices.length === 0
        ? []
        : [`${within(command.name)} -a ${quote(choices.join(" "))} -d ${quote(description)}`],
    ),
  ])
  return `# Completion of ${name} for fish. Made by \`${name} completion fish\`.
complete -c ${name} -f
complete -c ${name} -n __fish_use_subcommand -l help -d 'display help'
complete -c ${name} -n __fish_use_subcommand -l version -d 'output the version number'
${lines.map((line) => `complete -c ${name} ${line}`).join("\n")}
`
}

function within(command: string): string {
  return `-n ${quote(`__fish_seen_subcommand_from ${command}`)}`
}

function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, "\\$&")}'`
}
