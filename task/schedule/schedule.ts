/** What is to run every day, and where. All paths are whole ones. */
export type Schedule = {
  /** The name of the units and the cron file: "pgstow". */
  readonly name: string
  /** The program and its first arguments: ["/usr/bin/node", "/opt/pgstow/pgstow.mjs"]. Without its settings. */
  readonly program: readonly string[]
  /** The file with the environment to run in; secrets are in it. Undefined where a file of settings needs none. */
  readonly settingsFile: string | undefined
  /** The file of settings for one or more databases. */
  readonly configFile?: string | undefined
  /** The file with the key that signs backups; undefined where they are not signed, or it is in no file. */
  readonly signingKeyFile: string | undefined
  /** The time of day, in the machine's time zone. */
  readonly hour: number
  readonly minute: number
  /** Who it runs as; undefined takes a user that exists only meanwhile, where nothing is written on this machine. */
  readonly user: string | undefined
  /** Folders that the backup writes to: storages, and the log file's. */
  readonly writes: readonly string[]
  /** Whether something that it reads or writes is in a home folder, or it starts a program that reads one (--exec, --tunnel). */
  readonly needsHome: boolean
  /** Whether something that it reads or writes is in /tmp or /var/tmp. */
  readonly needsTmp: boolean
}
