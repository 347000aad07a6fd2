import type { PostgresCluster } from "../support/postgres.ts"
import type { Bed } from "./bed.ts"
import type { Ended } from "./program.ts"
import type { Random } from "./random.ts"
import type { StoredBackup } from "./stored-backups.ts"

/** What attacks are tried on, and how it is told whether one has succeeded. */
export type AttackWorld = {
  readonly bed: Bed
  /** A stranger may do there what he likes. */
  readonly source: PostgresCluster
  /** Where his backups are restored. */
  readonly target: PostgresCluster
  /** Made by whoever obeys what is hostile. */
  readonly canary: string
  readonly folder: string
  /** Connects to the target; its storage is missing. */
  readonly env: Readonly<Record<string, string>>
  /** A good backup of a small database, by which a storage can be filled. */
  readonly backup: StoredBackup
  readonly identityFile: string
  /** The URL of a directory that does not exist yet. */
  newStorage(): Promise<string>
  /** The globals of the only backup in a storage, as the documents say how to read them. */
  globalsOf(storage: string): Promise<string>
  /** What the program writes to a terminal. The arguments need no quoting. */
  screenOf(args: string, env: Readonly<Record<string, string>>): Promise<string>
  /** Throws where somebody has obeyed. */
  assertNotObeyed(): Promise<void>
  /** Runs the program, and throws unless it exits with one of `exitCodes`. */
  expectExit(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    ...exitCodes: number[]
  ): Promise<Ended>
}

/** One attack, and what it is; it throws where it succeeds. */
export type Attack = {
  readonly title: string
  run(world: AttackWorld, random: Random): Promise<void>
}
