import * as z from "zod"
import type { LogLevel } from "../console/log.ts"
import type { ProgressUpdate } from "../console/progress.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import { parseSigners } from "../keys/signing-key.ts"
import { killChildren } from "../processes/child.ts"
import { openStorage } from "../storage/open-storage.ts"
import type { Storage } from "../storage/storage.ts"
import { text, wholeNumber } from "./read-options.ts"

/** What is said while a function is at work, as the program writes it into its log. Never a secret. */
export type LogEntry = {
  readonly level: LogLevel
  readonly message: string
  /** Facts beside the message. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** What all functions take. */
export type StorageOptions = {
  /** Where the backups are: `file:///dir`, `s3://bucket/prefix?region=…`; at least one. */
  readonly storages: readonly string[]
  /** Seconds without progress after which a request to a storage is tried again. @default 60 */
  readonly storageTimeoutSeconds?: number | undefined
  /**
   * The public keys of which one must have signed a backup that is read. @default any backup will do
   */
  readonly signedBy?: readonly string[] | undefined
  /**
   * What programs and the AWS SDK are told by the environment: PATH, PGPASSWORD, AWS_PROFILE, HTTPS_PROXY … The
   * variables of the program's own settings, PGSTOW_… and DATABASE_URL, are not read. @default process.env
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Stops what is under way; it then rejects with a PgstowError of kind "interrupted". @default nothing does */
  readonly signal?: AbortSignal | undefined
  /** Hears what the program would log. @default nobody does */
  readonly onLog?: ((entry: LogEntry) => void) | undefined
  /** Hears how far the work has come, some times a second. @default nobody does */
  readonly onProgress?: ((update: ProgressUpdate) => void) | undefined
}

const isFunction = (value: unknown) => typeof value === "function"

export const storageShape = {
  storages: z.array(text).min(1, "must name at least one storage"),
  storageTimeoutSeconds: wholeNumber(1, 86_400).default(60),
  signedBy: z.array(text).min(1, "must hold a key, or nothing would be checked").optional(),
  env: z.record(z.string(), z.string().optional()).optional(),
  signal: z.instanceof(AbortSignal, { error: "must be an AbortSignal" }).optional(),
  onLog: z.custom<StorageOptions["onLog"]>(isFunction, "must be a function").optional(),
  onProgress: z.custom<StorageOptions["onProgress"]>(isFunction, "must be a function").optional(),
}

type Read = z.output<z.ZodObject<typeof storageShape>>

/** What a job works on. */
export type Surroundings = {
  readonly storages: readonly Storage[]
  /** As the jobs take them. */
  readonly signedBy: readonly string[]
  readonly context: Context
}

/**
 * Does a job with its storages open. Whatever it rejects with comes out as a PgstowError: what nobody foresaw with the kind
 * "unexpected", and anything after the signal with the kind "interrupted".
 */
export async function onStorages<Result>(
  options: Read,
  job: (surroundings: Surroundings) => Promise<Result>,
): Promise<Result> {
  const { signal, env = process.env, storageTimeoutSeconds: timeoutSeconds } = options
  const stopped = new AbortController()
  const stop = () => {
    const hint = "Call it again when you like: it starts from the beginning."
    stopped.abort(new PgstowError("interrupted", "stopped by its signal", { cause: signal?.reason, hint }))
  }
  if (signal?.aborted) stop()
  signal?.addEventListener("abort", stop)
  // What it started would go on without it.
  process.once("exit", killChildren)
  try {
    stopped.signal.throwIfAborted()
    const context = contextOf(options, env, stopped.signal)
    const storages = [...new Set(options.storages)].map((url) =>
      openStorage(url, { env, signal: stopped.signal, timeoutSeconds }),
    )
    return await job({ storages, signedBy: parseSigners(options.signedBy ?? []), context })
  } catch (error) {
    if (stopped.signal.aborted) throw stopped.signal.reason
    if (error instanceof PgstowError) throw error
    throw new PgstowError("unexpected", "something unexpected went wrong", { cause: error })
  } finally {
    signal?.removeEventListener("abort", stop)
    process.removeListener("exit", killChildren)
  }
}

function contextOf({ onLog, onProgress }: Read, env: Context["env"], signal: AbortSignal): Context {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogEntry["fields"] = {}) =>
      onLog?.({ level, message, fields })
  return {
    env,
    log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), close: () => {} },
    progress: { update: (update) => onProgress?.(update), clear: () => {} },
    signal,
    now: () => new Date(),
  }
}
