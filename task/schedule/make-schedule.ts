import { mkdir, readFile, realpath, stat, writeFile } from "node:fs/promises"
import { userInfo } from "node:os"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseEnv } from "node:util"
import type { Context } from "../context.ts"
import { codeOf, PgstowError } from "../errors.ts"
import { adoptLegacyNames } from "../legacy/adopt-names.ts"
import { startChild } from "../processes/child.ts"
import { readSettings, type Settings } from "../settings/config.ts"
import { signingKeyFileOf } from "../settings/inputs.ts"
import { checkBackup } from "./check-backup.ts"
import { cronFile } from "./cron-file.ts"
import type { Schedule } from "./schedule.ts"
import { systemdUnits } from "./systemd-units.ts"

export type ScheduleOptions = {
  readonly kind: "systemd" | "cron"
  /** The name of the units, or of the cron file. */
  readonly name: string
  /** The time of day: "03:00". */
  readonly at: string
  /** The file with the environment that the backup is to run in. Undefined where a file of settings needs none. */
  readonly settingsFile: string | undefined
  /** A file of settings for one or more databases. */
  readonly config?: PlannedConfig | undefined
  /** Node, and the script that this program is. */
  readonly program: readonly string[]
  /** Whether to write the files and start the timer, or only to show them. */
  readonly install: boolean
  /** Where the files go; the system's own place without it. */
  readonly folder?: string | undefined
}

export type PlannedConfig = {
  readonly file: string
  /** What it comes to for each of its databases in such an environment. Throws what is wrong with it. */
  readonly read: (env: Readonly<Record<string, string | undefined>>) => Promise<readonly Settings[]>
}

export type ScheduleResult = {
  readonly installed: boolean
  readonly files: readonly { readonly path: string; readonly text: string }[]
}

/** Makes what starts a backup every day, and installs it on request. */
export async function schedule(options: ScheduleOptions, context: Context): Promise<ScheduleResult> {
  const { kind, name, install, folder } = options
  const plan = await planSchedule(options, context)
  const files =
    kind === "cron"
      ? [{ path: join(folder ?? "/etc/cron.d", name), text: cronFile(plan) }]
      : Object.entries(systemdUnits(plan)).map(([type, text]) => ({
          path: join(folder ?? "/etc/systemd/system", `${name}.${type}`),
          text,
        }))
  if (install) {
    for (const { path } of files) await refuseForeign(path)
    if (kind === "systemd") await findSystemd(options, context)
    // systemd does not start a service that is to write where there is nothing.
    for (const written of plan.writes)
      await attempt(written, () => mkdir(written, { recursive: true, mode: 0o700 }))
    for (const { path, text } of files) await attempt(path, () => writeFile(path, text, { mode: 0o644 }))
    if (kind === "cron" && !(await hasCron(context)))
      context.log.warn(
        `there seems to be no cron on this machine: nothing is backed up until one runs that reads ${dirname(files[0]?.path ?? "/etc/cron.d")}`,
      )
    if (kind === "systemd") await startTimer(name, context)
  }
  return { installed: install, files }
}

async function planSchedule(options: ScheduleOptions, context: Context): Promise<Schedule> {
  const { name, at, program } = options
  const { log } = context
  const [, hour, minute] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(at) ?? []
  if (hour === undefined) throw usage(`--at ${at} is not a time of day`, "Write it like 03:00.")
  if (!/^[A-Za-z0-9_-]+$/.test(name))
    throw usage(`${name} can't be the name of a unit`, "Use letters, digits, - and _.")

  const settingsFile = options.settingsFile === undefined ? undefined : resolve(options.settingsFile)
  const env = settingsFile === undefined ? {} : await environmentIn(settingsFile, options.config?.file, log)
  if (options.config === undefined && env.PGSTOW_CONFIG)
    throw usage(
      `${settingsFile} names a file of settings by PGSTOW_CONFIG`,
      `Give that to this command, too: --config ${env.PGSTOW_CONFIG}.`,
    )
  const configFile = options.config && resolve(options.config.file)
  const all = options.config ? await options.config.read(env) : [readSettings({}, env)]
  const storage = all.flatMap((settings) => settings.storage)
  const { logFile } = readSettings({}, env)
  const startsOthers = all.some(({ exec, tunnel }) => exec !== undefined || tunnel !== undefined)
  // Beside a file of settings there may be one for each database: the service then reads them where they are.
  const signingKeyFile = configFile === undefined ? all.map(signingKeyFileOf)[0] : undefined
  const where = configFile ?? settingsFile ?? ""
  if (all.some((settings) => settings.storage.length === 0))
    throw usage(
      `${where} names no storage`,
      `Set ${configFile === undefined ? "PGSTOW_STORAGE" : '"storages"'} in it.`,
    )
  const folders = storage.map(folderOf).filter((folder) => folder !== undefined)
  const writes = [...folders, ...(logFile === undefined ? [] : [dirname(logFile)])]
  for (const path of [...writes, ...(signingKeyFile === undefined ? [] : [signingKeyFile])])
    if (!isAbsolute(path)) throw usage(`${path} in ${where} is relative`, "Write the whole path, from / on.")
  const used = await Promise.all([...program, ...writes].map(realPathOf))
  const unwritable = writes.find((_, index) => inSystem.test(used[program.length + index] ?? ""))
  if (unwritable !== undefined)
    throw usage(`${unwritable} in ${where} is no place for files`, "Name a folder on a disk.")
  for (const settings of all) await checkBackupBy(where, settings, { ...context, env })
  const config = configFile === undefined ? [] : [configFile, await readFile(configFile, "utf8")]
  const named = [...program, ...used, ...config, ...Object.values(env).map((value) => value ?? "")]
  const inHome =
    named.some((text) => homeFolders.test(text)) ||
    Boolean(env.AWS_PROFILE) ||
    /[?&]profile=/.test(storage.join(" "))
  const inTmp = [...program, ...used, where].find((path) => temporaryFolders.test(path))
  if (inTmp !== undefined)
    log.warn(`${inTmp} is in a folder that is emptied when the machine starts: put it elsewhere`)
  const inCache = program.find((path) => path.includes("/_npx/"))
  if (inCache !== undefined)
    log.warn(`${inCache} is in npx's cache, which npm empties: install pgstow, and make the schedule by that`)
  return {
    name,
    program,
    settingsFile,
    configFile,
    signingKeyFile,
    hour: Number(hour),
    minute: Number(minute),
    // Only this user may be able to read the keys and URLs in files that it names.
    user:
      writes.length === 0 && !inHome && !startsOthers && configFile === undefined
        ? undefined
        : userInfo().username,
    writes: [...new Set(writes)],
    // docker, kubectl and ssh read their settings there.
    needsHome: inHome || startsOthers,
    needsTmp: named.some((text) => temporaryFolders.test(text)),
  }
}

async function environmentIn(
  file: string,
  configFile: string | undefined,
  log: Context["log"],
): Promise<Readonly<Record<string, string | undefined>>> {
  const { env } = adoptLegacyNames(parseEnv(await settingsIn(file, configFile)))
  if (((await stat(file)).mode & 0o077) !== 0)
    log.warn(`${file} holds secrets, and others can read it: chmod 600 ${file}`)
  return env
}

/** Throws what a backup with these settings would be refused with, every night. */
async function checkBackupBy(file: string, settings: Settings, context: Context): Promise<void> {
  try {
    await checkBackup(settings, {}, context)
  } catch (cause) {
    if (!(cause instanceof PgstowError)) throw cause
    const { kind, hint } = cause
    throw new PgstowError(kind, `no backup can be made by ${file}`, { cause, hint })
  }
}

/** What a service does not see that is kept from home folders and from the temporary ones: anywhere in a setting. */
const homeFolders = /(?:^|[^\w.-])\/(?:home|root|run\/user)(?:\/|$)/
const temporaryFolders = /(?:^|[^\w.-])\/(?:var\/)?tmp(?:\/|$)/

const inSystem = /^\/(?:dev|proc|sys)(?:\/|$)/

/** Where a path leads, as far as it is there. */
async function realPathOf(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}

async function settingsIn(file: string, configFile: string | undefined): Promise<string> {
  return attempt(file, async () => {
    try {
      return await readFile(file, "utf8")
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error
      const wanted =
        configFile === undefined
          ? "DATABASE_URL, PGSTOW_STORAGE and PGSTOW_RECIPIENTS"
          : `the variables that ${configFile} names, such as the database's URL,`
      throw usage(
        `there is no file ${file}`,
        `Write ${wanted} into it, one NAME=value a line, or name another file by --settings.`,
      )
    }
  })
}

/** The folder of a storage on this machine. */
function folderOf(storage: string): string | undefined {
  if (/^file:/i.test(storage)) return fileURLToPath(storage)
  return /^[a-z0-9]+:/i.test(storage) ? undefined : storage
}

/** Throws where no systemd runs that could start a timer: before any file is written. */
async function findSystemd({ settingsFile, config }: ScheduleOptions, context: Context): Promise<void> {
  await systemctl(["show", "--property=Version"], context).catch((cause: unknown) => {
    throw new PgstowError("usage", "no systemd runs here, so nothing was installed", {
      cause,
      hint: `Take a file for cron: pgstow schedule --cron${settingsFile === undefined ? "" : ` --settings ${settingsFile}`}${config === undefined ? "" : ` --config ${config.file}`} --install.`,
    })
  })
}

/** Whether a program is on the PATH that systems run cron's files by. Some may have others. */
async function hasCron({ env }: Context): Promise<boolean> {
  const places = (env.PATH ?? "")
    .split(":")
    .flatMap((folder) => ["cron", "crond", "fcron"].map((name) => join(folder, name)))
  const found = await Promise.all(places.map((place) => stat(place).catch(() => undefined)))
  return found.some((one) => one !== undefined)
}

async function startTimer(name: string, context: Context): Promise<void> {
  for (const args of [["daemon-reload"], ["enable", "--now", `${name}.timer`]])
    await systemctl(args, context).catch((cause: unknown) => {
      throw new PgstowError("unexpected", `the files are in place, but systemctl ${args.join(" ")} failed`, {
        cause,
        hint: "Run it yourself.",
      })
    })
}

async function systemctl(args: readonly string[], { env, signal }: Context): Promise<void> {
  const program = { file: "systemctl", args, env: { PATH: env.PATH } }
  await startChild(program, { signal, failureKind: "unexpected" }).ended
}

/** Throws where there is a file that this program did not make. */
async function refuseForeign(path: string): Promise<void> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined
    throw error
  })
  if (text !== undefined && !text.startsWith("# Made by `pgstow schedule"))
    throw usage(`${path} is there already, and not from pgstow`, "Choose another name with --unit.")
}

async function attempt<Value>(path: string, step: () => Promise<Value>): Promise<Value> {
  try {
    return await step()
  } catch (cause) {
    if (cause instanceof PgstowError) throw cause
    const denied = codeOf(cause) === "EACCES"
    throw new PgstowError("usage", `${path} can't be used`, {
      cause,
      ...(denied ? { hint: "Run it with sudo." } : {}),
    })
  }
}

function usage(message: string, hint: string): PgstowError {
  return new PgstowError("usage", message, { hint })
}
