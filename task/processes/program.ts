/** What stands before a program so that it runs elsewhere, as beside a server in a container. */
export type Prefix = {
  /** As the user wrote it: "docker exec -i db". */
  readonly words: string
  /** How long it may take until the program begins. */
  readonly startsWithinSeconds: number
  /** What docker, kubectl or ssh may need to know; no password of the server's. */
  readonly env: Readonly<Record<string, string>>
}

/** A program, and where it runs: on this machine, unless there is a prefix. */
export type Executable = { readonly file: string; readonly prefix?: Prefix | undefined }

/** What to run. Its arguments hold no secrets: anyone may read them. */
export type Program = Executable & {
  readonly args: readonly string[]
  /** The whole environment of the child; secrets may be here. */
  readonly env: Readonly<Record<string, string | undefined>>
}
