import { execFileSync, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as z from "zod"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Tally, type Trial, type Trials } from "./campaign.ts"
import { copyBackup } from "./copy-backup.ts"
import { timestamp } from "./forge.ts"
import type { Ended } from "./program.ts"
import { makeSource, type Source } from "./small-database.ts"
import { readStoredBackups } from "./stored-backups.ts"

/** What cleanup must keep of the backups that there are. */
const kept = 2

const mayMount =
  process.platform === "linux" &&
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", tmpdir()]).status === 0

const commands = [
  "backup",
  "backup",
  "backup",
  "verify",
  "verify --deep",
  "list",
  "restore",
  "cleanup",
  "cleanup",
] as const
type Command = (typeof commands)[number]

/**
 * Disks that are full, read-only, broken or gone, before or in the middle of what is done to them. What is told to be
 * stored is, what was there stays, and what is whole is not called damaged.
 */
export const disks: Campaign = { name: "disks", trials: 60, prepare: (bed) => setStage(() => prepare(bed)) }

type World = Source & {
  readonly bed: Bed
  /** A storage with backups of some days, of which each trial gets a copy. */
  readonly base: string
}

async function prepare(bed: Bed): Promise<Trials> {
  const source = await makeSource(bed, "disks")
  const { server, database, folder, env } = source
  await server.psql(
    `CREATE TABLE noise AS SELECT i, (SELECT string_agg(sha256((i * j)::text::bytea), '') FROM generate_series(1, 1000) j)
       FROM generate_series(1, 60) i`,
    database,
  )
  const base = join(folder, "base")
  await bed.json(["backup"], { env: { ...env, PGSTOW_STORAGE: `file://${base}` } })
  const [backup] = (await readStoredBackups(base)).backups
  if (!backup) throw new Error("there is no backup")
  for (const days of [7, 8, 9])
    await copyBackup(backup, `${timestamp(new Date(Date.now() - days * 86_400_000))}-${backup.id.slice(-8)}`)
  await rm(backup.folder, { recursive: true })
  const world: World = { ...source, bed, base }
  return {
    trial: async (trial, tally) => {
      if (mayMount && trial.index % 2 === 0) await breakDisk(world, trial, tally)
      else await breakFiles(world, trial, tally)
    },
  }
}

type Midway = (disk: string) => Promise<void>

const remount = (disk: string, ...options: string[]) =>
  execFileSync("mount", ["-o", `remount,${options.join(",")}`, disk])

/** What happens to a disk while the program runs, if it is not full from the beginning. */
const events: Readonly<Record<string, Midway>> = {
  "it becomes read-only": async (disk) => {
    // While a file is open for writing this is refused: then it is full instead.
    if (spawnSync("mount", ["-o", "remount,ro", disk]).status !== 0) remount(disk, "size=4k")
  },
  "it is unmounted": async (disk) => {
    execFileSync("umount", ["--lazy", disk])
  },
  "its folder is renamed": async (disk) => {
    await rename(join(disk, "store"), join(disk, "elsewhere")).catch(() => {})
  },
  "its folder is removed": async (disk) => {
    await rm(join(disk, "store"), { recursive: true, force: true })
  },
  "another program fills it": async (disk) => {
    await writeFile(join(disk, "filler"), Buffer.alloc(64 * 1024 ** 2)).catch(() => {})
  },
}

/** A disk of its own, which is too small, or something happens to it. */
async function breakDisk(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const disk = join(world.folder, `disk-${index}`)
  await mkdir(disk)
  const command = random.pick(commands)
  const baseKilobytes = Number(execFileSync("du", ["-sk", world.base]).toString().split("\t")[0])
  const isFull = random.chance(0.4)
  const spare = isFull ? random.below(3_000) : 20_000
  const inodes = isFull && random.chance(0.2) ? `,nr_inodes=${random.between(60, 90)}` : ""
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${baseKilobytes + spare}k${inodes}`, "tmpfs", disk])
  try {
    const root = join(disk, "store")
    await cp(world.base, root, { recursive: true }).catch(() => {})
    if ((await readStoredBackups(root).catch(() => ({ backups: [] }))).backups.length < 3) return
    const event = isFull ? undefined : random.pick(Object.keys(events))
    const atMs = random.below(command === "backup" ? 1_800 : 900)
    const fault = `${command}: ${event ? `after ${atMs} ms, ${event}` : `a disk with room for ${spare} kB${inodes}`}`
    const keepsBackups =
      event === undefined || event === "it becomes read-only" || event === "another program fills it"
    await run(
      world,
      { command, root, index, fault, keepsBackups },
      tally,
      event === undefined
        ? undefined
        : async () => {
            await sleep(atMs)
            await events[event]?.(disk)
          },
    )
  } finally {
    spawnSync("umount", ["--lazy", disk])
  }
}

/** Operations on files fail, as they do on a disk that is about to die. */
async function breakFiles(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const root = join(world.folder, `store-${index}`)
  await cp(world.base, root, { recursive: true })
  const command = random.pick(commands)
  const writes = ["write", "sync", "close", "link", "mkdir", "open", "unlink", "rename"]
  const reads = ["read", "open", "stat", "readdir", "lstat", "realpath", "close"]
  const operation = random.pick(
    command === "backup"
      ? [...writes, ...reads]
      : command === "cleanup"
        ? ["unlink", "rmdir", ...reads]
        : reads,
  )
  const code = random.pick(["EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE", "EACCES"])
  const after = random.pick([0, 0, 1, 2, 5, 10, 20])
  const times = random.pick([1, 1, 3, 100_000])
  const report = join(world.folder, `report-${index}`)
  const fault = `${command}: ${operation} fails with ${code}, ${times === 100_000 ? "again and again" : `${times} times`} after ${after}`
  const more = {
    NODE_OPTIONS: `--import=${join(import.meta.dirname, "faulty-files.mjs")}`,
    FAULTY_FILES: `${code} ${operation} ${root} ${after} ${times} ${report}`,
  }
  await run(
    world,
    {
      command,
      root,
      index,
      fault,
      keepsBackups: true,
      isHit: () => existsSync(report),
      more,
      misleads: operation !== "write",
    },
    tally,
  )
  await rm(root, { recursive: true, force: true })
}

type Run = {
  readonly command: Command
  readonly root: string
  readonly index: number
  readonly fault: string
  /** Whether the backups that were there must still be. */
  readonly keepsBackups: boolean
  readonly isHit?: () => boolean
  /** Whether objects look as if they were missing or unreadable. */
  readonly misleads?: boolean
  readonly more?: Readonly<Record<string, string>>
}

const result = z.looseObject({ id: z.string() })

async function run(
  world: World,
  { command, root, index, fault, keepsBackups, isHit = () => true, misleads = false, more = {} }: Run,
  tally: Tally,
  midway?: () => Promise<void>,
): Promise<void> {
  const { bed, env } = world
  const into = `disks_${index}`
  const before = (await readStoredBackups(root)).backups
    .map(({ id }) => id)
    .sort()
    .reverse()
  let happened: Promise<void> | undefined
  const ended = await bed.run([...argumentsOf(command, into), "--json"], {
    env: { ...env, PGSTOW_STORAGE: `file://${root}`, ...more },
    onStart: () => {
      happened = midway?.()
      happened?.catch(() => {})
    },
  })
  await happened
  const problems: string[] = []
  const { backups } = await readStoredBackups(root).catch(() => ({ backups: [] }))
  problems.push(...(keepsBackups ? backups.flatMap(({ wrong }) => wrong) : []))
  const mustBe = keepsBackups ? before.slice(0, command === "cleanup" ? kept : before.length) : []
  for (const id of mustBe) if (!backups.some((backup) => backup.id === id)) problems.push(`lost: ${id}`)
  if (!misleads && keepsBackups)
    for (const { id, checks } of backups)
      if (checks.some((name) => name.includes("failed"))) problems.push(`${id} is whole, and called damaged`)
  if (command === "backup" && ended.exitCode === 0 && keepsBackups) {
    const { id } = result.parse(JSON.parse(ended.stdout))
    if (!backups.some((backup) => backup.id === id)) problems.push("it ended with 0, and there is no backup")
  }
  const known = [0, 4, ...(misleads || !keepsBackups ? [6, 8] : []), ...(keepsBackups ? [] : [2])]
  if (!known.includes(ended.exitCode ?? -1)) problems.push("it ended in the wrong way")
  problems.push(...(command === "restore" ? await restoreProblems(world, into, ended) : []))
  if (problems.length > 0) tally.broke(fault, `${problems.join("; ")} [${toldBy(ended)}]`)
  else if (isHit()) tally.held(fault)
}

function argumentsOf(command: Command, into: string): string[] {
  if (command === "verify") return ["verify", "latest"]
  if (command === "verify --deep") return ["verify", "latest", "--deep"]
  if (command === "restore") return ["restore", "latest", "--into", into]
  if (command === "cleanup") return ["cleanup", "--keep-last", String(kept)]
  return [command]
}

async function restoreProblems({ server }: World, into: string, { exitCode }: Ended): Promise<string[]> {
  const names = (await server.psql("SELECT datname FROM pg_database")).split("\n")
  const problems: string[] = []
  if (names.includes(into) !== (exitCode === 0))
    problems.push(`it ended with ${exitCode}, and the database is ${names.includes(into) ? "" : "not "}there`)
  for (const name of [into, `incomplete_${into}`])
    if (names.includes(name)) await server.psql(`DROP DATABASE "${name}" WITH (FORCE)`)
  return problems
}
