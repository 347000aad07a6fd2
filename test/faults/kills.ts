import { copyFile, mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Trial, type Trials } from "./campaign.ts"
import { copyBackup } from "./copy-backup.ts"
import { type CrashablePostgres, startCrashablePostgres } from "./crashable-postgres.ts"
import { passTime } from "./pass-time.ts"
import type { Ended, Running } from "./program.ts"
import type { Random } from "./random.ts"
import { smallDatabase } from "./small-database.ts"
import { readStoredBackups, type StoredBackup } from "./stored-backups.ts"

/** What is done when the kill comes. */
type Operation = "backup" | "restore" | "restore over" | "verify" | "verify --deep" | "cleanup" | "import"

/** Who is killed, and by what. */
type Victim =
  | {
      readonly who: "program"
      readonly signals: readonly NodeJS.Signals[]
      readonly exitCodes: readonly number[]
    }
  | { readonly who: "child"; readonly name: string; readonly signal: NodeJS.Signals }
  | { readonly who: "backend"; readonly how: "terminate" | "SIGKILL" }
  | { readonly who: "postmaster"; readonly signal: NodeJS.Signals }

const children: Readonly<Record<Operation, readonly string[]>> = {
  backup: ["psql", "psql", "pg_dump", "zstd"],
  restore: ["psql", "pg_restore", "pg_restore", "zstd"],
  "restore over": ["psql", "pg_restore", "zstd"],
  verify: [],
  "verify --deep": ["zstd", "pg_restore"],
  cleanup: [],
  import: ["zstd"],
}
const usesServer: readonly Operation[] = ["backup", "restore", "restore over"]

/** How often all that takes time is looked at. */
const aftermathEvery = 8
/** How long a server needs at most to see that a client is gone. */
const sessionsGoneWithinMs = 10_000
/** How long the program may take to end after a signal. */
const endsWithinMs = 12_000

/**
 * Kills the program, what it starts, and the server, in the middle of everything that it does. Afterwards all that is
 * listed is whole, the next run works, what was left is found, and nobody holds a lock.
 */
export const kills: Campaign = {
  name: "kills",
  trials: 50,
  notRun: process.platform === "linux" ? undefined : "this is not Linux",
  prepare: (bed) => setStage((undo) => prepare(bed, undo)),
}

/** Where a backup is stored, and the folder in which that can be seen. */
type Place = { readonly url: string; readonly folder: string }

type World = {
  readonly bed: Bed
  readonly server: CrashablePostgres
  readonly database: string
  readonly temporary: string
  readonly env: Readonly<Record<string, string>>
  readonly places: { readonly directory: Place; readonly bucket: Place }
  /** Where S3 keeps the parts of uploads that have not ended. */
  readonly uploads: string
  readonly client: S3Client
  readonly legacyFile: string
  /** How long each operation takes, in milliseconds, where nobody disturbs it. */
  readonly usual: Map<Operation, number>
}

async function prepare(bed: Bed, undo: AsyncDisposableStack): Promise<Trials> {
  const server = await startCrashablePostgres()
  undo.defer(() => server.stop())
  bed.guard(server.password)
  const s3 = await bed.s3("kills")
  const folder = await bed.newFolder("kills")
  const database = await server.createDatabase("kills")
  // Without the checkpoint sequences would skip values when the server recovers from a crash.
  await server.psql(`${smallDatabase}; CHECKPOINT`, database)
  const temporary = join(folder, "tmp")
  await mkdir(temporary)
  const legacyFile = join(folder, "sentinel_backup_20251215_163138.sql.gz")
  await copyFile(
    join(import.meta.dirname, "../fixtures/legacy/sentinel_backup_20251215_163138.sql.gz"),
    legacyFile,
  )
  const directory = join(folder, "store")
  const world: World = {
    bed,
    server,
    database,
    temporary,
    places: {
      directory: { url: `file://${directory}`, folder: directory },
      bucket: {
        url: `s3://kills/kills?endpoint=${s3.url}&credentials=S3`,
        folder: join(s3.bucketFolder, "kills"),
      },
    },
    uploads: join(s3.bucketFolder, ".sgwtmp"),
    client: new S3Client({
      endpoint: s3.url,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    }),
    legacyFile,
    usual: new Map(),
    env: {
      DATABASE_URL: server.url(database),
      PGSTOW_PG_BIN: server.binDir,
      PGSTOW_RECIPIENTS: bed.recipient,
      PGSTOW_IDENTITY: bed.identity,
      PGSTOW_JOBS: "2",
      S3_ACCESS_KEY: s3.accessKeyId,
      S3_SECRET_KEY: s3.secretAccessKey,
      TMPDIR: temporary,
    },
  }
  // What there is before the first kill, so that there is something to lose.
  await bed.json(["backup"], { env: { ...world.env, PGSTOW_STORAGE: everywhere(world) } })
  return {
    trial: async (trial, tally) => {
      const { fault, isHit, problems } = await kill(world, trial)
      if (trial.alone || trial.index % aftermathEvery === aftermathEvery - 1)
        problems.push(...(await aftermath(world, trial)))
      if (problems.length === 0 && isHit) tally.held(fault)
      else if (problems.length > 0) tally.broke(fault, problems.join("; "))
    },
  }
}

const everywhere = ({ places }: World) => `${places.directory.url} ${places.bucket.url}`

/** Does something, kills somebody meanwhile, and gives what does not hold at once. */
async function kill(
  world: World,
  trial: Trial,
): Promise<{ fault: string; isHit: boolean; problems: string[] }> {
  const { random, index } = trial
  const operation = random.pick<Operation>([
    ...(["backup", "backup", "backup", "backup", "restore", "restore", "restore over"] as const),
    ...(["verify", "verify --deep", "cleanup", "cleanup", "import"] as const),
  ])
  const victim = chooseVictim(operation, random)
  const usual = world.usual.get(operation) ?? 2_500
  const atMs = Math.round(usual * random.next() * (victim.who === "child" ? 0.8 : 1))
  const place = random.pick([world.places.directory, world.places.bucket])
  const storage = operation === "backup" && random.chance(0.4) ? everywhere(world) : place.url
  const fault = `${operation} (${storage.replaceAll(/\?\S*/g, "")}): ${describeVictim(victim)} after ${atMs} ms`

  const into = `restored_${index}`
  const args = await argumentsFor(world, operation, { into, index, place })
  const before = await knownIds(world)
  let hit: Promise<number | undefined> = Promise.resolve(undefined)
  const ended = await world.bed.run(args, {
    env: { ...world.env, PGSTOW_STORAGE: storage },
    mayBeKilled: victim.who === "program",
    onStart: (running) => {
      hit = strike(world, running, victim, atMs, random)
      hit.catch(() => {})
    },
  })
  const endedAt = performance.now()
  const hitAt = await hit
  await world.server.recover()
  if (hitAt === undefined && ended.exitCode === 0) world.usual.set(operation, ended.ms)

  const problems = [
    ...endProblems(ended, victim, hitAt === undefined ? undefined : endedAt - hitAt),
    ...(await sessionProblems(world)),
    ...(await storedProblems(world, before, operation, ended)),
    ...(operation === "restore" || operation === "restore over"
      ? await targetProblems(world, operation, into, ended)
      : []),
  ]
  return {
    fault,
    isHit: hitAt !== undefined,
    problems: problems.map((problem) => `${problem} [${toldBy(ended)}]`),
  }
}

function chooseVictim(operation: Operation, random: Random): Victim {
  const program = (): Victim =>
    random.pick<Victim>([
      { who: "program", signals: ["SIGKILL"], exitCodes: [] },
      { who: "program", signals: ["SIGKILL"], exitCodes: [] },
      { who: "program", signals: ["SIGTERM"], exitCodes: [143] },
      { who: "program", signals: ["SIGINT"], exitCodes: [130] },
      { who: "program", signals: ["SIGTERM", "SIGTERM"], exitCodes: [143] },
    ])
  const child = (): Victim => ({
    who: "child",
    name: random.pick(children[operation]),
    signal: random.pick(["SIGKILL", "SIGTERM"]),
  })
  const backend = (): Victim => ({ who: "backend", how: random.pick(["terminate", "terminate", "SIGKILL"]) })
  const postmaster = (): Victim => ({
    who: "postmaster",
    signal: random.pick(["SIGKILL", "SIGQUIT", "SIGINT"]),
  })
  const choices = [program, program]
  if (children[operation].length > 0) choices.push(child, child)
  if (usesServer.includes(operation)) choices.push(backend, postmaster)
  return random.pick(choices)()
}

function describeVictim(victim: Victim): string {
  if (victim.who === "program") return victim.signals.join(" and ")
  if (victim.who === "child") return `${victim.signal} to ${victim.name}`
  return victim.who === "backend" ? `a backend's end (${victim.how})` : `${victim.signal} to the postmaster`
}

async function argumentsFor(
  world: World,
  operation: Operation,
  { into, index, place }: { readonly into: string; readonly index: number; readonly place: Place },
): Promise<string[]> {
  const { server, database, legacyFile } = world
  if (operation === "restore") return ["restore", "latest", "--database", database, "--into", into]
  if (operation === "restore over") {
    await server.createDatabase(into)
    await server.psql("CREATE TABLE kept AS SELECT 1 AS one", into)
    return ["restore", "latest", "--database", database, "--into", into, "--yes"]
  }
  if (operation === "verify") return ["verify", "latest", "--database", database]
  if (operation === "verify --deep") return ["verify", "latest", "--database", database, "--deep"]
  if (operation === "import") return ["import", legacyFile, "--name", `imported_${index}`]
  if (operation === "cleanup") {
    await addOldBackups(place.folder, database)
    return ["cleanup", "--keep-last", "1"]
  }
  return ["backup"]
}

/** Copies the newest backup under ids of earlier days, so that there is something to clean up. */
async function addOldBackups(folder: string, database: string): Promise<void> {
  const { backups } = await readStoredBackups(folder)
  const newest = backups
    .filter((backup) => backup.database === database)
    .sort((a, b) => (a.id < b.id ? 1 : -1))[0]
  if (!newest) throw new Error("there is no backup to copy")
  for (let day = 10; day < 16; day++) {
    const id = `202601${day}T030000Z-${newest.id.slice(-8)}`
    await copyBackup(newest, id)
  }
}

/** Kills the victim when its time has come, and gives when that was; undefined where the program ended before. */
async function strike(
  world: World,
  running: Running,
  victim: Victim,
  atMs: number,
  random: Random,
): Promise<number | undefined> {
  await sleep(atMs)
  if (!running.isRunning()) return undefined
  if (victim.who === "program") {
    for (const [count, signal] of victim.signals.entries()) {
      if (count > 0) await sleep(random.below(40))
      running.kill(signal)
    }
    return performance.now()
  }
  if (victim.who === "postmaster") {
    await world.server.killPostmaster(victim.signal)
    return performance.now()
  }
  if (victim.who === "backend") return strikeBackend(world, running, victim.how, random)
  while (running.isRunning()) {
    const found = running.processes().filter(({ name }) => name === victim.name)
    if (found.length > 0) {
      try {
        process.kill(random.pick(found).pid, victim.signal)
        return performance.now()
      } catch {
        // It has just ended by itself: another one will do.
      }
    }
    await sleep(3)
  }
  return undefined
}

async function strikeBackend(
  { server }: World,
  running: Running,
  how: "terminate" | "SIGKILL",
  random: Random,
): Promise<number | undefined> {
  while (running.isRunning()) {
    const found = await server.psql(
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
        ORDER BY md5(pid || '${random.below(1_000)}') LIMIT 1`,
    )
    if (found !== "" && (await endBackend(server, Number(found), how))) return performance.now()
    await sleep(10)
  }
  return undefined
}

/** False where it had just ended by itself: another one will do. */
async function endBackend(
  server: CrashablePostgres,
  pid: number,
  how: "terminate" | "SIGKILL",
): Promise<boolean> {
  if (how === "terminate") return (await server.psql(`SELECT pg_terminate_backend(${pid})`)) === "t"
  try {
    process.kill(pid, "SIGKILL")
    return true
  } catch {
    return false
  }
}

/** What is wrong with how the program ended. */
function endProblems(ended: Ended, victim: Victim, afterMs: number | undefined): string[] {
  const { exitCode } = ended
  const problems: string[] = []
  if (victim.who === "program") {
    const expected: readonly (number | null)[] = [0, null, ...victim.exitCodes]
    if (!expected.includes(exitCode))
      problems.push(`it exited with ${exitCode} after ${victim.signals.join(", ")}`)
    if (afterMs !== undefined && afterMs > endsWithinMs)
      problems.push(`it took ${Math.round(afterMs)} ms to end after ${victim.signals.join(", ")}`)
  } else if (exitCode === 6) problems.push("it calls the backup damaged, which it is not")
  else if (exitCode === 2 || exitCode === 7 || exitCode === 8) problems.push(`it exited with ${exitCode}`)
  return problems
}

/** No session stays on the server: none that holds a lock, and none that holds a snapshot. */
async function sessionProblems({ server }: World): Promise<string[]> {
  for (const startedAt = performance.now(); ; await sleep(50)) {
    const sessions = await server.sessions()
    if (sessions.length === 0) return []
    if (performance.now() - startedAt > sessionsGoneWithinMs)
      return sessions.map((session) => `a session stays on the server: ${session}`)
  }
}

async function knownIds({ places }: World): Promise<Set<string>> {
  const ids = new Set<string>()
  for (const { folder } of Object.values(places))
    for (const { database, id } of (await readStoredBackups(folder)).backups)
      ids.add(`${folder} ${database} ${id}`)
  return ids
}

/** Every backup there is must be whole, and none of them be called damaged; a good run has left one. */
async function storedProblems(
  { places, database }: World,
  before: ReadonlySet<string>,
  operation: Operation,
  { exitCode }: Ended,
): Promise<string[]> {
  const problems: string[] = []
  let added = 0
  for (const { folder } of Object.values(places)) {
    const { backups } = await readStoredBackups(folder)
    added += backups.filter((backup) => !before.has(`${folder} ${backup.database} ${backup.id}`)).length
    problems.push(...backups.flatMap(({ wrong }) => wrong))
    for (const backup of backups) problems.push(...(await calledDamaged(backup)))
    if (!backups.some((backup) => backup.database === database))
      problems.push(`no backup is left in ${folder}`)
  }
  if (exitCode === 0 && (operation === "backup" || operation === "import") && added === 0)
    problems.push("it ended with 0, and there is no backup")
  return problems
}

/** The failures that checks have found, which are removed, so that they are told of once. */
async function calledDamaged({ id, folder, checks }: StoredBackup): Promise<string[]> {
  const failed = checks.filter((name) => name.includes("failed"))
  for (const name of failed) await rm(join(folder, "checks", name))
  return failed.map((name) => `${id} is whole, and has the record ${name}`)
}

/** The target of a restore is complete, or does not have its name; what existed is as it was, or complete. */
async function targetProblems(
  { server, database }: World,
  operation: Operation,
  into: string,
  { exitCode }: Ended,
): Promise<string[]> {
  const names = (await server.psql("SELECT datname FROM pg_database")).split("\n")
  const problems: string[] = []
  if (operation === "restore over") {
    const tables = await server.psql(
      "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      into,
    )
    if (tables !== "kept") {
      await server.psql("DROP TABLE kept", into)
      problems.push(...(await compareDatabases({ server, name: database }, { server, name: into })))
    } else if (exitCode === 0) problems.push("it ended with 0, and restored nothing")
  } else if (names.includes(into))
    problems.push(...(await compareDatabases({ server, name: database }, { server, name: into })))
  else if (exitCode === 0) problems.push("it ended with 0, and there is no such database")
  for (const name of [into, `incomplete_${into}`])
    if (names.includes(name)) await server.psql(`DROP DATABASE "${name}" WITH (FORCE)`)
  return problems
}

const verified = z.array(z.looseObject({ kind: z.literal("deep-verified") }))

/** All that holds after several kills and the next run, which nobody helps. */
async function aftermath(world: World, { index, random }: Trial): Promise<string[]> {
  const { bed, server, database, places, temporary, uploads } = world
  const env = { ...world.env, PGSTOW_STORAGE: everywhere(world) }
  const problems: string[] = []
  const ids = await knownIds(world)
  await bed.json(["backup"], { env })
  await bed.json(["list"], { env })
  const left = await readdir(temporary)
  if (left.length > 0) problems.push(`the next run has left in the temporary folder: ${left.join(", ")}`)

  for (const place of Object.values(places)) {
    const { backups } = await readStoredBackups(place.folder)
    const sample = random.pick(
      backups.filter(
        (backup) => backup.database === database && ids.has(`${place.folder} ${database} ${backup.id}`),
      ),
    )
    verified.parse(
      await bed.json(["verify", sample.id, "--database", database, "--deep"], {
        env: { ...env, PGSTOW_STORAGE: place.url },
      }),
    )
    const into = `aftermath_${index}`
    await bed.json(["restore", sample.id, "--database", database, "--into", into], {
      env: { ...env, PGSTOW_STORAGE: place.url },
    })
    problems.push(...(await compareDatabases({ server, name: database }, { server, name: into })))
    await server.psql(`DROP DATABASE "${into}"`)
  }

  // Days later all that interrupted runs have left is debris, which two runs must have seen.
  for (const hours of [72, 13]) {
    for (const folder of [...Object.values(places).map((place) => place.folder), uploads])
      await passTime(folder, hours)
    await bed.json(["cleanup", "--keep-last", "2"], { env })
  }
  for (const { folder } of Object.values(places)) {
    const { strays } = await readStoredBackups(folder)
    if (strays.length > 0) problems.push(`cleanup has left ${strays.join(", ")}`)
  }
  const listed = await listedUploads(world)
  if (listed.length > 0) problems.push(`cleanup has left uploads: ${listed.join(", ")}`)
  return problems
}

/**
 * The uploads that S3 has not ended: what it would charge for, and can be asked to remove. The service's folder is not
 * looked into: in versitygw 1.8.0 a part that arrives while its upload is being ended makes a folder again that no list
 * has (`link` in backend/posix/with_otmpfile.go, `ListMultipartUploads` in posix.go).
 */
async function listedUploads({ client }: World): Promise<string[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: "kills" }))
  return Uploads.map(({ Key, Initiated }) => `${Key} of ${Initiated?.toISOString()}`)
}
