import { helpOption, type OptionShape, type ProgramShape } from "./program-shape.ts"

/** What bash sources to complete the program's command line; for bash 3.2, which macOS has, and newer. */
export function completeBash({ name, commands }: ProgramShape): string {
  const words = (some: readonly string[]) => some.join(" ")
  const cases = commands.map((command) => {
    const options = [...command.options, helpOption]
    const choices = command.arguments.flatMap((argument) => argument.choices)
    return `    ${command.name})
${previousOf(command.options)}      options="${words(options.map(({ flag }) => flag))}"
      values="${words(choices)}" ;;`
  })
  return `# Completion of ${name} for bash. Made by \`${name} completion bash\`.
_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command="" options="--help --version" values="" index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    case \${COMP_WORDS[index]} in
      -*) ;;
      *) command=\${COMP_WORDS[index]}; break ;;
    esac
  done
  case $command in
    "") values="${words(commands.map((command) => command.name))}" ;;
${cases.join("\n")}
  esac
  case $current in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$values" -- "$current")) ;;
  esac
}
# Where nothing is found, files are.
complete -o default -F _${name} ${name}
`
}

/** What follows an option that takes a value: files, or nothing that could be known. */
function previousOf(options: readonly OptionShape[]): string {
  const flagsOf = (isFile: boolean) =>
    options
      .filter(
        ({ value }) =>
          value !== undefined && value.choices.length === 0 && (value.kind !== "other") === isFile,
      )
      .map(({ flag }) => flag)
      .join("|")
  const choices = options.flatMap(({ flag, value }) =>
    value === undefined || value.choices.length === 0
      ? []
      : [
          `        ${flag}) COMPREPLY=($(compgen -W "${value.choices.join(" ")}" -- "$current")); return ;;\n`,
        ],
  )
  const files = flagsOf(true)
  const others = flagsOf(false)
  return `      case $previous in
${files === "" ? "" : `        ${files}) return ;;\n`}${others === "" ? "" : `        ${others}) compopt +o default 2>/dev/null; return ;;\n`}${choices.join("")}      esac
`
}
