/** What the command line of a program is made of, for what is generated from it. */
export type ProgramShape = {
  readonly name: string
  readonly version: string
  /** A sentence. */
  readonly description: string
  /** In the order of help. */
  readonly commands: readonly CommandShape[]
}

export type CommandShape = {
  readonly name: string
  readonly summary: string
  /** The heading that help has it under, without its colon. */
  readonly group: string
  readonly arguments: readonly ArgumentShape[]
  readonly options: readonly OptionShape[]
  /** Command lines. */
  readonly examples: readonly string[]
  /** Sentences. */
  readonly notes: readonly string[]
}

export type ArgumentShape = {
  /** As usage has it: "[backup]". */
  readonly syntax: string
  readonly name: string
  readonly description: string
  readonly choices: readonly string[]
}

export type OptionShape = {
  /** "--storage" */
  readonly flag: string
  readonly description: string
  /** The heading that help has it under, without its colon. */
  readonly group: string
  readonly repeats: boolean
  /** What it takes; undefined where it takes nothing. */
  readonly value: OptionValue | undefined
}

export type OptionValue = {
  /** As usage has it: "<url>". */
  readonly syntax: string
  readonly kind: "file" | "folder" | "other"
  readonly choices: readonly string[]
}

/** What every command has. */
export const helpOption: OptionShape = {
  flag: "--help",
  description: "display help for command",
  group: "Options",
  repeats: false,
  value: undefined,
}
