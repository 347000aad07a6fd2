import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as z from "zod"
import { type Bed, noWrongClock, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Tally, type Trial, type Trials } from "./campaign.ts"
import { damages } from "./damages.ts"
import { type ForgedState, forgeBackup, timestamp } from "./forge.ts"
import type { Random } from "./random.ts"
import { type Dated, keptBy, type Policy } from "./retention-oracle.ts"
import { makeSource, type Source } from "./small-database.ts"
import { readStoredBackups } from "./stored-backups.ts"

/**
 * Several runs at once, and clocks that are hours and days wrong. A failure that was found holds, a good backup is
 * never removed for a bad one, a backup is whole or fails, and cleanup keeps what the documents say.
 */
export const clocks: Campaign = {
  name: "clocks",
  trials: 45,
  notRun: noWrongClock,
  prepare: (bed) => setStage(() => prepare(bed)),
}

type World = Source & {
  readonly bed: Bed
  /** Its programs take their time. */
  readonly slowPrograms: string
}

type Case = readonly [
  share: number,
  title: string,
  run: (world: World, trial: Trial, tally: Tally) => Promise<void>,
]

const cases: readonly Case[] = [
  [3, "failures found by wrong clocks", findFailures],
  [2, "several backups at once", backUpAtOnce],
  [2, "cleanup beside a backup", cleanUpBesideBackup],
  [2, "cleanup beside who reads", cleanUpBesideReaders],
  [1, "backups dated in the future", statusOfFuture],
  [4, "retention", retention],
]

async function prepare(bed: Bed): Promise<Trials> {
  const source = await makeSource(bed, "clocks")
  const { server, folder } = source
  const slowPrograms = join(folder, "slow")
  await mkdir(slowPrograms)
  for (const name of await readdir(server.binDir))
    if (name !== "pg_dump") await symlink(join(server.binDir, name), join(slowPrograms, name))
  const real = join(server.binDir, "pg_dump")
  await writeFile(
    join(slowPrograms, "pg_dump"),
    `#!/bin/sh\n[ "$1" = --version ] || sleep 2\nexec '${real}' "$@"\n`,
  )
  await chmod(join(slowPrograms, "pg_dump"), 0o755)
  const world: World = { ...source, bed, slowPrograms }
  const turns = cases.flatMap(([share, title, run]) => Array.from({ length: share }, () => ({ title, run })))
  return {
    trial: async (trial, tally) => {
      // Each kind comes first once.
      const turn = trial.index < cases.length ? cases[trial.index] : undefined
      const [, title = "", run] = turn ?? []
      const other = trial.random.pick(turns)
      try {
        await (run ?? other.run)(world, trial, tally)
      } catch (error) {
        tally.broke(run ? title : other.title, error instanceof Error ? error.message : String(error))
      }
    },
  }
}

const hours = (random: Random, most: number) => {
  const minutes = random.between(-most * 60, most * 60)
  return `${minutes < 0 ? "-" : "+"}${Math.abs(minutes)}m`
}

const listed = z.object({
  backups: z.array(z.looseObject({ id: z.string(), database: z.string(), state: z.string() })),
})

async function newStore(
  { folder }: World,
  index: number,
): Promise<{ root: string; storage: { PGSTOW_STORAGE: string } }> {
  const root = join(folder, `store-${index}`)
  await mkdir(root)
  return { root, storage: { PGSTOW_STORAGE: `file://${root}` } }
}

/** Whoever finds a failure is believed, whatever the clocks of those say who looked before. */
async function findFailures(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed } = world
  const { root, storage } = await newStore(world, index)
  const env = { ...world.env, ...storage }
  // Long ago, since backups from the future count for nothing.
  const ids = [1, 2].map((n) => `${timestamp(new Date(Date.now() - (20 - n) * 86_400_000))}-0000000${n}`)
  for (const id of ids) await forgeBackup({ root, database: "shop", id, state: "unverified" })
  const [older = "", newer = ""] = ids
  const clocksUsed: string[] = []
  const check = async (id: string, exitCode: number) => {
    const clock = hours(random, random.pick([2, 72]))
    clocksUsed.push(clock)
    const ended = await bed.run(["verify", id], { env, clock })
    if (ended.exitCode !== exitCode) throw new Error(`verify: ${toldBy(ended)}`)
  }
  const stateOf = async (id: string) => {
    const { backups } = listed.parse(await bed.json(["list"], { env, clock: hours(random, 72) }))
    return backups.find((backup) => backup.id === id)?.state
  }
  const fault = () => `failures found by wrong clocks (${clocksUsed.join(", ")})`
  for (const id of [older, newer]) await check(id, 0)
  if (random.chance(0.5)) await check(newer, 0)
  const main = join(root, "shop", newer, "main.dump.zst.age")
  const whole = await readFile(main)
  await writeFile(main, damages["a bit is flipped"]?.(whole, random) ?? "")
  await check(newer, 6)
  const found = await stateOf(newer)
  if (found !== "failed") throw new Error(`${fault()}: a damaged backup is ${found}`)
  tally.held(fault())
  if (random.chance(0.4)) {
    // It is made whole again, and found good.
    await writeFile(main, whole)
    await check(newer, 0)
    const again = await stateOf(newer)
    if (again !== "verified") throw new Error(`${fault()}: a whole backup is ${again}`)
    tally.held(`${fault()}: whole again`)
  } else {
    const clock = hours(random, 72)
    await bed.json(["cleanup", "--keep-last", "1"], { env, clock })
    const { backups } = await readStoredBackups(root)
    if (!backups.some(({ id, wrong }) => id === older && wrong.length === 0))
      throw new Error(`${fault()}: cleanup (${clock}) has removed the only good backup`)
    tally.held(`${fault()}: cleanup (${clock})`)
  }
  await rm(root, { recursive: true })
}

/** All backups that began at the same time, by whatever clocks, are there and whole. */
async function backUpAtOnce(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed } = world
  const { root, storage } = await newStore(world, index)
  const used = [hours(random, 1), hours(random, 72), undefined]
  const runs = await Promise.all(
    used.map((clock) => bed.run(["backup", "--json"], { env: { ...world.env, ...storage }, clock })),
  )
  const fault = `several backups at once (${used.map((clock) => clock ?? "right").join(", ")})`
  const { backups, strays } = await readStoredBackups(root)
  const wrong = [
    ...runs.filter(({ exitCode }) => exitCode !== 0).map(toldBy),
    ...backups.flatMap((backup) => backup.wrong),
    ...(backups.length === used.length ? [] : [`there are ${backups.length} backups`]),
    ...strays,
  ]
  if (wrong.length > 0) tally.broke(fault, wrong.join("; "))
  else tally.held(fault)
  await rm(root, { recursive: true })
}

/** A backup that somebody cleans up meanwhile, by a clock days ahead, is whole, or it fails. */
async function cleanUpBesideBackup(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed } = world
  const { root, storage } = await newStore(world, index)
  const env = { ...world.env, ...storage }
  const ahead = random.pick([0, 47, 49, 72, 1_000])
  const backup = bed.run(["backup", "--json"], { env: { ...env, PGSTOW_PG_BIN: world.slowPrograms } })
  let isOver = false
  const over = () => {
    isOver = true
  }
  backup.then(over, over)
  const cleanups: string[] = []
  for (let count = 0; !isOver; count++) {
    await sleep(random.below(300))
    // Half a day later it removes what it has noted.
    const clock = `+${ahead + (count % 2) * 13}h`
    const ended = await bed.run(["cleanup", "--keep-last", "1"], { env, clock })
    if (ended.exitCode !== 0) cleanups.push(toldBy(ended))
  }
  const ended = await backup
  const fault = `cleanup ${ahead} hours ahead beside a backup`
  const { backups } = await readStoredBackups(root)
  const wrong = backups.flatMap((stored) => stored.wrong)
  if (ended.exitCode === 0 && backups.length !== 1) wrong.push("it ended with 0, and there is no backup")
  if (ended.exitCode !== 0 && ended.exitCode !== 4) wrong.push(toldBy(ended))
  if (ahead < 48 && ended.exitCode !== 0) wrong.push(`it failed: ${toldBy(ended)}`)
  wrong.push(...cleanups)
  if (wrong.length > 0) tally.broke(fault, wrong.join("; "))
  else tally.held(`${fault}${ended.exitCode === 0 ? "" : ", which then fails"}`)
  await rm(root, { recursive: true })
}

/** Who reads a backup that is removed meanwhile is told so, and records no damage. */
async function cleanUpBesideReaders(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed, server } = world
  const { root, storage } = await newStore(world, index)
  const env = { ...world.env, ...storage }
  for (let count = 0; count < 2; count++) await bed.json(["backup"], { env })
  const { backups } = await readStoredBackups(root)
  const [oldest, newest] = backups.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  if (!oldest || !newest) throw new Error("there are not two backups")
  const into = `clocks_${index}`
  const reader = random.pick([
    ["verify", oldest.id],
    ["verify", oldest.id, "--deep"],
    ["verify", oldest.id, "--deep"],
    ["restore", oldest.id, "--into", into],
  ])
  const reading = bed.run(reader, { env })
  await sleep(random.below(1_500))
  const cleaned = await bed.run(["cleanup", "--keep-last", "1"], { env })
  const ended = await reading
  const fault = `cleanup beside ${reader.join(" ").replace(oldest.id, "the oldest")}`
  const wrong: string[] = []
  if (cleaned.exitCode !== 0) wrong.push(`cleanup: ${toldBy(cleaned)}`)
  if (![0, 8].includes(ended.exitCode ?? -1)) wrong.push(toldBy(ended))
  const after = await readStoredBackups(root)
  for (const { id, checks } of after.backups)
    if (checks.some((name) => name.includes("failed"))) wrong.push(`${id} is called damaged`)
  if (!after.backups.some(({ id, wrong }) => id === newest.id && wrong.length === 0))
    wrong.push("the newest is lost")
  if (after.backups.some(({ id }) => id === oldest.id) && cleaned.exitCode === 0)
    wrong.push("the oldest is still there")
  if (wrong.length > 0) tally.broke(fault, wrong.join("; "))
  else tally.held(fault)
  for (const name of [into, `incomplete_${into}`])
    await server.psql(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
  await rm(root, { recursive: true })
}

/** Backups from the future hide nothing: `status` tells of them, and of stopped backups all the same. */
async function statusOfFuture(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed } = world
  const { root, storage } = await newStore(world, index)
  const env = { ...world.env, ...storage }
  const ahead = random.between(2, 500)
  const [old, future] = [new Date(Date.now() - 100 * 3_600_000), new Date(Date.now() + ahead * 3_600_000)]
  await forgeBackup({ root, database: "shop", id: `${timestamp(old)}-00000001`, state: "verified" })
  await forgeBackup({ root, database: "shop", id: `${timestamp(future)}-00000002`, state: "verified" })
  const fault = `a backup dated ${ahead} hours ahead`
  const status = await bed.run(["status"], { env })
  if (status.exitCode !== 11 && status.exitCode !== 12) throw new Error(`${fault}: status: ${toldBy(status)}`)
  tally.held(`${fault}: status`)
  await bed.json(["cleanup", "--keep-last", "1"], { env })
  if ((await readStoredBackups(root)).backups.length !== 2)
    throw new Error(`${fault}: cleanup has removed one`)
  tally.held(`${fault}: cleanup`)
  await rm(root, { recursive: true })
}

const databasesAtOnce = 30

/** Cleans up many databases of all kinds at once, and holds each against the rules as they are written down. */
async function retention(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed } = world
  const { root, storage } = await newStore(world, index)
  const env = { ...world.env, ...storage }
  const policy = randomPolicy(random)
  const databases = new Map<string, Dated[]>()
  for (let count = 0; count < databasesAtOnce; count++) {
    const database = `d${count}`
    const backups = randomBackups(random)
    databases.set(database, backups)
    for (const { id, state } of backups) await forgeBackup({ root, database, id, state })
  }
  const args = Object.entries(policy).flatMap(([rule, count]) => [`--keep-${rule}`, String(count)])
  await bed.json(["cleanup", ...args], { env })
  const now = new Date()
  const left = (await readStoredBackups(root)).backups
  for (const [database, backups] of databases) {
    const expected = keptBy(policy, backups, now)
    const found = new Set(left.filter((backup) => backup.database === database).map(({ id }) => id))
    const fault = `retention: ${args.join(" ")} of ${backups.map(({ id, state }) => `${id} ${state}`).join(", ")}`
    const lost = [...expected].filter((id) => !found.has(id))
    const more = [...found].filter((id) => !expected.has(id))
    if (lost.length > 0) tally.broke(fault, `lost: ${lost.join(", ")}`)
    else if (more.length > 0) tally.broke(fault, `kept: ${more.join(", ")}`)
    else tally.held(fault)
  }
  await rm(root, { recursive: true })
}

function randomPolicy(random: Random): Policy {
  const rules = ["last", "days", "hourly", "daily", "weekly", "monthly", "yearly"] as const
  const chosen = random.shuffle(rules).slice(0, random.between(1, 3))
  return Object.fromEntries(chosen.map((rule) => [rule, random.between(1, rule === "days" ? 60 : 6)]))
}

/** Some close together, some on the borders of days, weeks and years, a few from the future. */
function randomBackups(random: Random): Dated[] {
  const hour = 3_600_000
  const span = random.pick([24, 24 * 10, 24 * 100, 24 * 1_500])
  const ids = new Set<string>()
  const states: readonly ForgedState[] = ["verified", "verified", "verified", "unverified", "failed"]
  return Array.from({ length: random.between(1, 10) }, () => {
    // Never within the minute that this takes: on which side of a border now is would not be known.
    const ago = random.chance(0.05) ? -random.between(1, 500) * hour : random.between(1, span) * hour
    const time = new Date(Date.now() - ago - random.pick([0, 600_000, 1_800_000]))
    if (random.chance(0.2))
      time.setUTCHours(random.pick([0, 23]), random.pick([0, 59]), random.pick([0, 59]), 0)
    const id = `${timestamp(time)}-${String(ids.size).padStart(8, "0")}`
    ids.add(id)
    time.setUTCMilliseconds(0)
    return { id, startedAt: time, state: random.pick(states) }
  })
}
