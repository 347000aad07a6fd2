import type { CommandShape, OptionShape, ProgramShape } from "./program-shape.ts"

/** What the page says beside the commands. */
export type ManPage = {
  /** The day that the page is of: "2026-11-26". */
  readonly day: string
  /** What the exit codes mean. */
  readonly exitCodes: readonly { readonly code: number; readonly meaning: string }[]
}

/** The manual page of the program, section 1, in the language of man(7). */
export function manPage(program: ProgramShape, { day, exitCodes }: ManPage): string {
  const { name, version, description, commands } = program
  const groups = [...new Set(commands.map(({ group }) => group))]
  const lines = [
    `.TH ${name.toUpperCase()} 1 ${day} "${name} ${version}" "User Commands"`,
    ".SH NAME",
    `${name} \\- ${text(description.replace(/\.$/, "").replace(/^./, (letter) => letter.toLowerCase()))}`,
    ".SH SYNOPSIS",
    `.B ${name}`,
    ".I command",
    "[options] [arguments]",
    ".SH COMMANDS",
    ...groups.flatMap((group) => [
      `.SS ${text(group)}`,
      ...commands
        .filter((command) => command.group === group)
        .flatMap((command) => [".TP", `.B ${text(command.name)}`, text(`${command.summary}.`)]),
    ]),
    ".SH OPTIONS AND ARGUMENTS",
    "Behind many options stands the environment variable that does the same.",
    ...commands.flatMap((command) => formatCommand(name, command)),
    ".SH FILES",
    ".TP",
    ".I .env",
    "Environment variables, read from the working directory.",
    ".TP",
    ".I pgstow.config.json",
    "Settings for several databases, read where",
    `.B ${text("--config")}`,
    "names it.",
    ".SH EXIT STATUS",
    ...exitCodes.flatMap(({ code, meaning }) => [".TP", `.B ${code}`, text(meaning)]),
    ".SH SEE ALSO",
    ".BR pg_dump (1),",
    ".BR pg_restore (1),",
    ".BR age (1),",
    ".BR zstd (1)",
  ]
  return `.\\" Made by \`${name} man\`.\n${lines.join("\n")}\n`
}

function formatCommand(program: string, command: CommandShape): string[] {
  const { name, summary, arguments: args, options, examples, notes } = command
  const groups = [...new Set(options.map(({ group }) => group))]
  return [
    `.SS ${text([program, name, ...(options.length > 0 ? ["[options]"] : []), ...args.map(({ syntax }) => syntax)].join(" "))}`,
    text(`${summary.replace(/^./, (letter) => letter.toUpperCase())}.`),
    ...args
      .filter(({ description }) => description !== "")
      .flatMap(({ name: argument, description }) => [".TP", `.I ${text(argument)}`, text(description)]),
    ...groups.flatMap((group) => [
      ".PP",
      text(`${group}:`),
      ...options.filter((option) => option.group === group).flatMap(formatOption),
    ]),
    ...notes.flatMap((note) => [".PP", text(note)]),
    ...(examples.length === 0
      ? []
      : [
          ".PP",
          examples.length === 1 ? "Example:" : "Examples:",
          ".PP",
          ".nf",
          ".RS",
          ...examples.map(text),
          ".RE",
          ".fi",
        ]),
  ]
}

function formatOption({ flag, description, value }: OptionShape): string[] {
  const flagged = value === undefined ? `.B ${text(flag)}` : `.BI "${text(flag)} " "${text(value.syntax)}"`
  return [".TP", flagged, text(description)]
}

/** Text as it stands: nothing in it is a request, an escape or a hyphen that could become a dash. */
function text(plain: string): string {
  const escaped = plain
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "\\(ga")
    .replaceAll("…", "...")
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped
}
