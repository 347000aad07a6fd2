import { type ArgumentShape, helpOption, type OptionShape, type ProgramShape } from "./program-shape.ts"

/** What zsh sources, or finds as _NAME in its fpath, to complete the program's command line. */
export function completeZsh({ name, commands }: ProgramShape): string {
  const cases = commands.map((command) => {
    const specs = [
      ...[...command.options, helpOption].map(optionSpec),
      // zsh would say the name of one that it can't complete in place of completing an option.
      ...command.arguments.filter(({ choices }) => choices.length > 0).map(argumentSpec),
    ]
    return `        ${command.name})\n          _arguments ${specs.join(" \\\n            ")} ;;`
  })
  return `#compdef ${name}
# Completion of ${name} for zsh. Made by \`${name} completion zsh\`.
_${name}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C '(- *)--help[display help]' '(- *)--version[output the version number]' '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
${commands.map(({ name: command, summary }) => `        ${quote(`${command}:${summary}`)}`).join("\n")}
      )
      _describe -t commands command commands ;;
    argument)
      case $words[1] in
${cases.join("\n")}
      esac ;;
  esac
}
if [ "$funcstack[1]" = "_${name}" ]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`
}

function optionSpec({ flag, description, repeats, value }: OptionShape): string {
  const explained = `${repeats ? "*" : ""}${flag}[${description.replaceAll(/[\\[\]]/g, "\\$&")}]`
  if (value === undefined) return quote(explained)
  return quote(`${explained}:${message(value.syntax)}:${action(value.kind, value.choices)}`)
}

function argumentSpec({ syntax, name, choices }: ArgumentShape): string {
  const position = syntax.includes("...") ? "*" : ""
  return quote(`${position}:${message(name)}:${action("other", choices)}`)
}

function action(kind: "file" | "folder" | "other", choices: readonly string[]): string {
  if (choices.length > 0) return `(${choices.join(" ")})`
  return { file: "_files", folder: "_files -/", other: " " }[kind]
}

function message(syntax: string): string {
  return syntax.replaceAll(/[<>[\]]/g, "").replaceAll(":", "\\:")
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
