import { execFileSync } from "node:child_process"
import { readdir, rm, utimes } from "node:fs/promises"
import { join } from "node:path"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { startWebhook, type Webhook } from "../support/webhook.ts"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Tally, type Trial, type Trials } from "./campaign.ts"
import { copyBackup } from "./copy-backup.ts"
import { type FaultyProxy, type S3Operation, startFaultyProxy } from "./faulty-proxy.ts"
import { passTime } from "./pass-time.ts"
import type { Ended } from "./program.ts"
import type { Random } from "./random.ts"
import { makeSource } from "./small-database.ts"
import { passingFaults, type StorageFault, storageFaults } from "./storage-faults.ts"
import { readStoredBackups, type StoredBackups } from "./stored-backups.ts"

/** What each command asks of a storage. */
const commands = {
  backup: ["Put", "Create", "UploadPart", "Complete", "Get", "List", "Head"],
  list: ["List", "Get"],
  status: ["List", "Get"],
  verify: ["List", "Get", "Put"],
  "verify --deep": ["List", "Get", "Put"],
  restore: ["List", "Get"],
  cleanup: ["List", "Get", "Head", "Delete", "ListUploads"],
} as const satisfies Record<string, readonly S3Operation[]>

type Command = keyof typeof commands

/** What cleanup must keep of the backups that there are. */
const kept = 2

/**
 * Lets an S3 service fail in every way that such services do, while something is written, read, checked or removed.
 * What is told to be stored is; what is to be kept stays; what is whole is not called damaged; and all ends in time.
 */
export const storage: Campaign = {
  name: "storage",
  trials: 50,
  prepare: (bed) => setStage((undo) => prepare(bed, undo)),
}

type World = {
  readonly bed: Bed
  readonly proxy: FaultyProxy
  readonly trap: Webhook
  readonly database: string
  readonly bucketFolder: string
  /** The folder in the bucket that each trial gets a copy of. */
  readonly base: string
  readonly env: Readonly<Record<string, string>>
}

async function prepare(bed: Bed, undo: AsyncDisposableStack): Promise<Trials> {
  const [s3, trap] = [await bed.s3("storage"), await startWebhook()]
  undo.defer(() => trap.stop())
  const proxy = await startFaultyProxy(s3.url)
  undo.defer(() => proxy.close())
  const source = await makeSource(bed, "storage")
  const { server, database } = source
  // What does not compress: two parts in the bucket.
  await server.psql(
    `CREATE TABLE noise AS SELECT i, (SELECT string_agg(sha256((i * j)::text::bytea), '') FROM generate_series(1, 1000) j)
       FROM generate_series(1, 400) i`,
    database,
  )
  const env = {
    ...source.env,
    PGSTOW_STORAGE_TIMEOUT: "1",
    S3_ACCESS_KEY: s3.accessKeyId,
    S3_SECRET_KEY: s3.secretAccessKey,
  }
  const base = join(s3.bucketFolder, "base")
  const url = `s3://storage/base?endpoint=${s3.url}&credentials=S3`
  await bed.json(["backup"], { env: { ...env, PGSTOW_STORAGE: url } })
  await age(base)
  return {
    trial: (trial, tally) =>
      attack({ bed, proxy, trap, database, bucketFolder: s3.bucketFolder, base, env }, trial, tally),
  }
}

/** Makes four backups, a week old and more, of the one that is there, and what an interrupted one has left. */
async function age(base: string): Promise<void> {
  const { backups } = await readStoredBackups(base)
  const [backup] = backups
  if (!backup) throw new Error("there is no backup")
  const day = 24 * 60 * 60 * 1000
  for (let days = 7; days <= 11; days++) {
    const id = `${new Date(Date.now() - days * day).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z-${backup.id.slice(-8)}`
    await copyBackup(backup, id)
    const folder = join(base, backup.database, id)
    if (days === 11) await rm(join(folder, "manifest.json"))
  }
  await rm(backup.folder, { recursive: true })
  for (const file of await readdir(base, { recursive: true, withFileTypes: true }))
    if (file.isFile())
      await utimes(join(file.parentPath, file.name), new Date(), new Date(Date.now() - 7 * day))
}

async function attack(world: World, { index, random }: Trial, tally: Tally): Promise<void> {
  const { bed, proxy, trap, bucketFolder, base, env } = world
  const folder = join(bucketFolder, `trial-${index}`)
  execFileSync("cp", ["--archive", "--link", base, folder])
  const { command, name, operation, after, times } = known[index] ?? chooseFault(random)
  const chosen = storageFaults[name]
  let seen = 0
  let oneKey: string | undefined
  proxy.inject((request) => {
    const make = (fault: StorageFault | undefined) =>
      fault?.make(request, { random, bucketFolder, trap: trap.origin })
    if (name === storm)
      return random.chance(0.2) ? make(storageFaults[random.pick(passingFaults)]) : undefined
    if (request.operation !== operation) return undefined
    seen += 1
    if (seen <= after || seen > after + times) return undefined
    oneKey ??= request.key
    return chosen?.oneKey && request.key !== oneKey ? undefined : make(chosen)
  })
  const before = await readStoredBackups(folder)
  const into = `storage_${index}`
  const url = `s3://storage/trial-${index}?endpoint=${proxy.url}&credentials=S3`
  const once = () =>
    bed.run([...argumentsOf(command, into), "--json"], { env: { ...env, PGSTOW_STORAGE: url } })
  let ended = await once()
  if (command === "cleanup" && !Number.isFinite(times)) {
    // What two runs have seen, half a day apart, cleanup believes.
    await passTime(folder, 13)
    ended = await once()
  }
  const count = proxy.faults()
  proxy.inject()
  const often = Number.isFinite(times) ? `${times} times` : "again and again"
  const how = name === storm ? "" : `, ${operation}, ${often} after ${after}`
  const fault = `${command}: ${name}${how}`
  const problems = [
    ...(await storedProblems(world, folder, command, before, chosen, ended)),
    ...answerProblems(command, before, chosen, ended),
    ...(command === "restore" ? await restoreProblems(world, into, ended) : []),
    ...(trap.seen.length > 0 ? ["it followed a redirect"] : []),
  ]
  if (problems.length > 0)
    tally.broke(fault, problems.map((problem) => `${problem} [${toldBy(ended)}]`).join("; "))
  else for (let each = 0; each < (name === storm ? count : Math.min(count, 1)); each++) tally.held(fault)
  await rm(folder, { recursive: true, force: true })
}

type Case = {
  readonly command: Command
  readonly name: string
  readonly operation: S3Operation | undefined
  /** After how many such requests it begins, and how many it concerns. */
  readonly after: number
  readonly times: number
}

const storm = "a storm"

/** Those that have done harm once, or could do the most: they come first, every time. */
const known: readonly Case[] = [
  { command: "cleanup", name: "a bare 404", operation: "Head", after: 0, times: 1 },
  { command: "cleanup", name: "a bare 404", operation: "Head", after: 0, times: Number.POSITIVE_INFINITY },
  { command: "cleanup", name: "no such key", operation: "Get", after: 0, times: 1 },
  { command: "cleanup", name: "no such key", operation: "Get", after: 0, times: Number.POSITIVE_INFINITY },
  { command: "backup", name: "412, and nothing stored", operation: "Put", after: 0, times: 1 },
  { command: "backup", name: "412, and nothing stored", operation: "Put", after: 1, times: 1 },
  { command: "backup", name: "the connection breaks when it is done", operation: "Put", after: 1, times: 1 },
  {
    command: "backup",
    name: "the connection breaks when it is done",
    operation: "Complete",
    after: 0,
    times: 3,
  },
  { command: "backup", name: "409", operation: "Put", after: 1, times: 1 },
  { command: "list", name: "a list cut short, without a way on", operation: "List", after: 1, times: 1 },
  {
    command: "list",
    name: "an answer that is HTML",
    operation: "List",
    after: 0,
    times: Number.POSITIVE_INFINITY,
  },
  { command: "list", name: "an empty answer", operation: "List", after: 0, times: Number.POSITIVE_INFINITY },
  {
    command: "list",
    name: "403 for one object",
    operation: "Get",
    after: 0,
    times: Number.POSITIVE_INFINITY,
  },
  { command: "verify", name: "all of it, where a range was asked for", operation: "Get", after: 4, times: 2 },
]

function chooseFault(random: Random): Case {
  const command = random.pick<Command>([
    ...(["backup", "backup", "backup", "list", "status", "verify", "verify --deep"] as const),
    ...(["restore", "cleanup", "cleanup", "cleanup"] as const),
  ])
  const after = random.pick([0, 0, 0, 1, 2, 5])
  if (random.chance(0.15)) return { command, name: storm, operation: undefined, after: 0, times: 0 }
  const used = usedBy(command)
  const names = Object.keys(storageFaults).filter((name) =>
    storageFaults[name]?.on.some((operation) => used.includes(operation)),
  )
  const name = random.pick(names)
  const { on = [], times = [1, 1, 3, Number.POSITIVE_INFINITY] } = storageFaults[name] ?? {}
  const operation = random.pick(on.filter((each) => used.includes(each)))
  return { command, name, operation, after, times: random.pick(times) }
}

function usedBy(command: Command): readonly S3Operation[] {
  return commands[command]
}

function argumentsOf(command: Command, into: string): string[] {
  if (command === "verify") return ["verify", "latest"]
  if (command === "verify --deep") return ["verify", "latest", "--deep"]
  if (command === "restore") return ["restore", "latest", "--into", into]
  if (command === "cleanup") return ["cleanup", "--keep-last", String(kept)]
  if (command === "status") return ["status", "--max-age-hours", "1000"]
  return [command]
}

/** Nothing is lost, nothing is half there, nothing whole is called damaged. */
async function storedProblems(
  { database }: World,
  folder: string,
  command: Command,
  before: StoredBackups,
  fault: StorageFault | undefined,
  { exitCode }: Ended,
): Promise<string[]> {
  const { backups } = await readStoredBackups(folder)
  const problems = backups.flatMap(({ wrong }) => wrong)
  if (fault?.misleads !== "bytes")
    for (const { id, checks } of backups)
      for (const name of checks)
        if (name.includes("failed")) problems.push(`${id} is whole, and has the record ${name}`)
  const ids = new Set(backups.map(({ id }) => id))
  const mustBe = before.backups
    .map(({ id }) => id)
    .sort()
    .reverse()
  const lost = mustBe.slice(0, command === "cleanup" ? kept : mustBe.length).filter((id) => !ids.has(id))
  if (lost.length > 0) problems.push(`lost: ${lost.join(", ")}`)
  const added = backups.filter((backup) => !mustBe.includes(backup.id) && backup.database === database)
  if (command === "backup" && exitCode === 0 && added.length !== 1)
    problems.push("it ended with 0, and there is no backup")
  return problems
}

const listed = z.object({ backups: z.array(z.looseObject({ id: z.string(), state: z.string() })) })

/** What it says is true, or it says that it failed. */
function answerProblems(
  command: Command,
  { backups }: StoredBackups,
  fault: StorageFault | undefined,
  { exitCode, stdout }: Ended,
): string[] {
  if (exitCode === 6 && fault?.misleads !== "bytes") return ["it calls what is whole damaged"]
  if ([2, 3, 7, 9, 10].includes(exitCode ?? -1)) return [`it exited with ${exitCode}`]
  if ((exitCode === 8 || exitCode === 11) && fault?.misleads === undefined)
    return [`it exited with ${exitCode}`]
  if (command !== "list" || exitCode !== 0) return []
  const ids = listed.parse(JSON.parse(stdout)).backups.map(({ id }) => id)
  const missing = backups.filter(({ id }) => !ids.includes(id))
  if (missing.length === 0 || fault?.misleads !== undefined) return []
  return [`the list lacks ${missing.map(({ id }) => id).join(", ")}`]
}

async function restoreProblems(
  { bed, database }: World,
  into: string,
  { exitCode }: Ended,
): Promise<string[]> {
  const server = await bed.server()
  const names = (await server.psql("SELECT datname FROM pg_database")).split("\n")
  const problems: string[] = []
  if (names.includes(into))
    problems.push(...(await compareDatabases({ server, name: database }, { server, name: into })))
  else if (exitCode === 0) problems.push("it ended with 0, and there is no such database")
  for (const name of [into, `incomplete_${into}`])
    if (names.includes(name)) await server.psql(`DROP DATABASE "${name}" WITH (FORCE)`)
  return problems
}
