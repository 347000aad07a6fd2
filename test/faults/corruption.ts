import { createHash } from "node:crypto"
import { cp, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Tally, type Trial, type Trials } from "./campaign.ts"
import { damages } from "./damages.ts"
import { manifestEdits } from "./manifest-edits.ts"
import type { Random } from "./random.ts"
import { makeSource } from "./small-database.ts"
import { readStoredBackups, type StoredBackup } from "./stored-backups.ts"

/** How many damaged copies one run verifies. */
const copiesAtOnce = 16
/** Whole ones among them, which nobody may call damaged. */
const wholeOnes = 2

/**
 * Damages what is stored: each kind of object, with the manifest as it was and with one that agrees, and the manifest
 * itself, by its bytes and by its meaning. None of it is told to be verified, or restored as if it were whole.
 */
export const corruption: Campaign = {
  name: "corruption",
  trials: 16,
  prepare: (bed) => setStage(() => prepare(bed)),
}

type World = {
  readonly bed: Bed
  readonly database: string
  /** The backup that is damaged, and the one before it. */
  readonly backup: StoredBackup
  readonly earlier: StoredBackup
  readonly env: Readonly<Record<string, string>>
  newStorage(): Promise<{ readonly url: string; readonly copy: string }>
  newDatabaseName(): string
}

async function prepare(bed: Bed): Promise<Trials> {
  const { server, database, folder, env } = await makeSource(bed, "corruption")
  const source = join(folder, "source")
  for (let count = 0; count < 2; count++) {
    await server.psql(`INSERT INTO customers VALUES (${4_000 + count}, 'later')`, database)
    await bed.json(["backup"], { env: { ...env, PGSTOW_STORAGE: `file://${source}` } })
  }
  const { backups } = await readStoredBackups(source)
  const [backup, earlier] = backups.toSorted((a, b) => (a.id < b.id ? 1 : -1))
  if (!backup || !earlier) throw new Error("there are not two backups")
  let storages = 0
  let databases = 0
  const world: World = {
    bed,
    database,
    backup,
    earlier,
    env,
    newDatabaseName: () => {
      databases += 1
      return `corruption_${databases}`
    },
    newStorage: async () => {
      storages += 1
      const storage = join(folder, `storage-${storages}`)
      const copy = join(storage, backup.database, backup.id)
      await cp(backup.folder, copy, { recursive: true })
      await rm(join(copy, "checks"), { recursive: true, force: true })
      return { url: `file://${storage}`, copy }
    },
  }
  return {
    trial: async (trial, tally) => {
      const kind = trial.index % 4
      if (kind === 0) await damageObjects(world, trial, tally, { agree: false })
      else if (kind === 1) await damageObjects(world, trial, tally, { agree: true })
      else if (kind === 2) await damageManifests(world, trial, tally)
      else await editManifests(world, trial, tally)
    },
  }
}

const verifiedCopies = z.array(z.looseObject({ storage: z.string(), kind: z.string() }))

/** Damages objects in many copies at once. With `agree` each manifest is made to say what is stored. */
async function damageObjects(
  world: World,
  { random }: Trial,
  tally: Tally,
  { agree }: { readonly agree: boolean },
): Promise<void> {
  const { backup } = world
  const copies: { url: string; copy: string; fault: string | undefined }[] = []
  for (let count = 0; count < copiesAtOnce; count++) {
    const storage = await world.newStorage()
    const fault = count < wholeOnes ? undefined : await damageObject(world, storage.copy, random, agree)
    copies.push({ ...storage, fault })
  }
  const deep = agree || random.chance(0.3)
  const args = ["verify", backup.id, ...(deep ? ["--deep"] : []), "--json"]
  const found = await verifyCopies(world, args, random.shuffle(copies.map(({ url }) => url)))
  const how = `${deep ? "verify --deep" : "verify"}${agree ? ", the manifest agrees" : ""}`
  for (const { url, fault } of copies) {
    const kind = found.get(url) ?? "not looked at"
    if (fault === undefined) {
      if (kind !== (deep ? "deep-verified" : "verified"))
        tally.broke("nothing", `${how}: a whole copy is ${kind}`)
    } else if (kind.endsWith("failed")) tally.held(`${fault}: ${how}`)
    else tally.broke(`${fault}: ${how}`, `it is ${kind}`)
  }
  const damaged = copies.filter(({ fault }) => fault !== undefined)
  // Whether a globals object is damaged, a restore does not look: it does not use it.
  const restored = damaged.filter(({ fault }) => !fault?.includes("globals"))
  if (restored.length > 0) {
    const { url, fault = "" } = random.pick(restored)
    await restoreDamaged(world, url, `${fault}${agree ? ", the manifest agrees" : ""}`, tally)
  }
  for (const { copy } of copies) await rm(dirname(dirname(copy)), { recursive: true })
}

/** What is found of each copy, in one run if none of them keeps it from the others. */
async function verifyCopies(
  world: World,
  args: readonly string[],
  urls: readonly string[],
): Promise<Map<string, string>> {
  const ended = await world.bed.run(args, { env: { ...world.env, PGSTOW_STORAGE: urls.join(" ") } })
  if (ended.exitCode === 0 || ended.exitCode === 6) {
    const results = verifiedCopies.parse(JSON.parse(ended.stdout))
    return new Map(results.map(({ storage, kind }) => [storage, kind]))
  }
  if (ended.exitCode !== 7) throw new Error(`${args.join(" ")}: ${toldBy(ended)}`)
  // Where its header is damaged, an object may look as if it were sealed for others.
  if (urls.length === 1) return new Map(urls.map((url) => [url, "sealed for others: failed"]))
  const found = new Map<string, string>()
  for (const url of urls)
    for (const [one, kind] of await verifyCopies(world, args, [url])) found.set(one, kind)
  return found
}

/** Damages one object of a copy, and says how. */
async function damageObject(world: World, copy: string, random: Random, agree: boolean): Promise<string> {
  const { backup, earlier } = world
  const object = random.pick(backup.manifest.objects)
  const path = join(copy, object.name)
  const before = await readFile(path)
  const others = backup.manifest.objects.filter(({ name }) => name !== object.name)
  const choices = Object.keys(damages)
  // What is sealed for the same keys is as good as the original, as far as a manifest that agrees can tell.
  const more = agree
    ? []
    : ["another object's bytes", "the same object of an earlier backup", "it is missing"]
  const how = random.pick([...choices, ...more])
  const fault = `${object.kind} ${object.name}: ${how}`
  if (how === "it is missing") {
    await rm(path)
    return fault
  }
  const after =
    how === "another object's bytes"
      ? await readFile(join(copy, random.pick(others).name))
      : how === "the same object of an earlier backup"
        ? await readFile(join(earlier.folder, object.name))
        : damages[how]?.(before, random)
  if (!after || after.equals(before)) return damageObject(world, copy, random, agree)
  await writeFile(path, after)
  if (agree) await makeAgree(copy, object.name, after)
  return fault
}

/** Makes the manifest say of an object what is stored. */
async function makeAgree(copy: string, name: string, bytes: Buffer): Promise<void> {
  const path = join(copy, "manifest.json")
  const manifest = JSON.parse(await readFile(path, "utf8")) as StoredBackup["manifest"]
  for (const object of manifest.objects) {
    if (object.name !== name) continue
    object.sizeBytes = bytes.length
    object.sha256 = createHash("sha256").update(bytes).digest("hex")
  }
  await writeFile(path, JSON.stringify(manifest, null, 2))
}

/** Whoever restores a damaged copy is told, and has no database of the name that was asked for. */
async function restoreDamaged(world: World, url: string, fault: string, tally: Tally): Promise<void> {
  const { ended, exists } = await restore(world, url)
  if (ended.exitCode === 0) tally.broke(`${fault}: restore`, "it ended with 0")
  else if (exists) tally.broke(`${fault}: restore`, "there is a database of the name that was asked for")
  else tally.held(`${fault}: restore`)
}

/** Restores a copy and gives how that ended; in what it differs from the original, where it ended well. */
async function restore(world: World, url: string) {
  const { bed, backup, database, env } = world
  const server = await bed.server()
  const into = world.newDatabaseName()
  const ended = await bed.run(["restore", backup.id, "--into", into], {
    env: { ...env, PGSTOW_STORAGE: url },
  })
  const names = (await server.psql("SELECT datname FROM pg_database")).split("\n")
  const exists = names.includes(into)
  const differences =
    ended.exitCode === 0 && exists
      ? await compareDatabases({ server, name: database }, { server, name: into })
      : []
  for (const name of [into, `incomplete_${into}`])
    if (names.includes(name)) await server.psql(`DROP DATABASE "${name}" WITH (FORCE)`)
  return { ended, exists, differences }
}

const listed = z.object({
  backups: z.array(z.looseObject({ storage: z.string(), id: z.string(), problem: z.string().nullable() })),
})

/** How many of what is not seen by who verifies are restored in a trial, to see whether it matters. */
const restoredAtMost = 3

/** Damages the bytes of many copies' manifests. */
async function damageManifests(world: World, { random }: Trial, tally: Tally): Promise<void> {
  const faults = new Map<string, string>()
  for (let count = 0; count < copiesAtOnce; count++) {
    const { url, copy } = await world.newStorage()
    const path = join(copy, "manifest.json")
    const how = random.pick(Object.keys(damages))
    const before = await readFile(path)
    const after = damages[how]?.(before, random) ?? before
    if (after.equals(before)) continue
    await writeFile(path, after)
    faults.set(url, `the manifest's bytes: ${how} (${firstDifference(before, after)})`)
  }
  await judgeManifests(world, faults, tally)
}

const editsAtOnce = 6
const editNames = Object.keys(manifestEdits)

/** Makes the manifests of some copies say something else: over the trials, all that there is. */
async function editManifests(world: World, { random, index }: Trial, tally: Tally): Promise<void> {
  const faults = new Map<string, string>()
  const first = Math.floor(index / 4) * editsAtOnce
  for (let count = 0; count < editsAtOnce; count++) {
    const { url, copy } = await world.newStorage()
    const how = editNames[(first + count) % editNames.length] ?? ""
    await manifestEdits[how]?.({
      copy,
      path: join(copy, "manifest.json"),
      earlier: world.earlier.folder,
      random,
    })
    faults.set(url, `the manifest says: ${how}`)
  }
  await judgeManifests(world, faults, tally)
}

/** What is told to be good, although its manifest was changed, must restore to what was backed up. */
async function judgeManifests(
  world: World,
  faults: ReadonlyMap<string, string>,
  tally: Tally,
): Promise<void> {
  const { bed, backup, env } = world
  const storages = [...faults.keys()]
  const list = listed.parse(await bed.json(["list"], { env: { ...env, PGSTOW_STORAGE: storages.join(" ") } }))
  let left = restoredAtMost
  for (const [url, fault] of faults) {
    const entry = list.backups.find(({ storage }) => storage === url)
    if (!entry) tally.broke(fault, "the backup is not listed")
    else if (entry.problem !== null) tally.held(fault)
    else {
      const verified = await bed.run(["verify", backup.id, "--deep"], {
        env: { ...env, PGSTOW_STORAGE: url },
      })
      if (verified.exitCode === 6) tally.held(fault)
      else if (verified.exitCode !== 0) tally.broke(fault, `verify --deep: ${toldBy(verified)}`)
      else if (left-- > 0) await judgeRestore(world, url, fault, tally)
    }
    await rm(url.slice("file://".length), { recursive: true })
  }
}

async function judgeRestore(world: World, url: string, fault: string, tally: Tally): Promise<void> {
  const { ended, differences } = await restore(world, url)
  if (ended.exitCode !== 0) tally.broke(fault, `deep-verified, and can't be restored: ${toldBy(ended)}`)
  else if (differences.length > 0)
    tally.broke(fault, `restored as another: ${differences.slice(0, 3).join("; ")}`)
  else tally.held(`${fault}, which does not matter`)
}

function firstDifference(before: Buffer, after: Buffer): string {
  const at = before.findIndex((byte, index) => byte !== after[index])
  return `from byte ${at < 0 ? before.length : at}`
}
