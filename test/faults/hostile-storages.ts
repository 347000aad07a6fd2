import { execFileSync } from "node:child_process"
import { cp, mkdir, readdir, readFile, rm, symlink, truncate, unlink, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { basename, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as z from "zod"
import type { Attack, AttackWorld } from "./attack.ts"
import { toldBy } from "./bed.ts"
import { copyBackup } from "./copy-backup.ts"
import { escapes } from "./hostile-text.ts"

/** What the program may take at most to read a catalog in which somebody has put what is far too large. */
const memoryLimitBytes = 600 * 1024 ** 2

/** A backup that is to be spoilt, in a storage with a good one; both were verified. */
type Spoilt = {
  readonly root: string
  readonly database: string
  readonly bad: { readonly id: string; readonly folder: string }
}

type Spoil = (spoilt: Spoilt, world: AttackWorld) => Promise<void>

const spoils: Readonly<Record<string, Spoil>> = {
  "its manifest is a FIFO": ({ bad }) => replace(join(bad.folder, "manifest.json"), fifo),
  "its main object is a FIFO": ({ bad }) => replace(join(bad.folder, "main.dump.zst.age"), fifo),
  "its manifest is a socket": ({ bad }) => replace(join(bad.folder, "manifest.json"), socket),
  "its manifest is a link to a file outside": ({ bad }) =>
    replace(join(bad.folder, "manifest.json"), (path) => symlink("/etc/passwd", path)),
  "its manifest is a link to /dev/zero": ({ bad }) =>
    replace(join(bad.folder, "manifest.json"), (path) => symlink("/dev/zero", path)),
  "its manifest is a folder": ({ bad }) => replace(join(bad.folder, "manifest.json"), (path) => mkdir(path)),
  "its manifest is a link to nowhere": ({ bad }) =>
    replace(join(bad.folder, "manifest.json"), (path) => symlink("/nonexistent/manifest.json", path)),
  "its manifest has 600 MB": ({ bad }) => truncate(join(bad.folder, "manifest.json"), 600e6),
  "its manifest is nested a hundred thousand deep": ({ bad }) =>
    writeFile(join(bad.folder, "manifest.json"), "[".repeat(100_000)),
  "its manifest redefines what objects are": ({ bad }) =>
    writeFile(
      join(bad.folder, "manifest.json"),
      '{"__proto__":{"format":1,"state":"verified"},"constructor":1}',
    ),
  "its manifest is of bytes that are no text": ({ bad }) =>
    writeFile(join(bad.folder, "manifest.json"), Buffer.from([0xff, 0xfe, 0x00, 0x1b, 0x5d, 0x9b])),
  "its checks are a file": async ({ bad }) => {
    await rm(join(bad.folder, "checks"), { recursive: true })
    await writeFile(join(bad.folder, "checks"), "")
  },
  "a check is a FIFO": ({ bad }) =>
    fifo(join(bad.folder, "checks", "20260101T000000Z-verified-aaaaaaaa-after-none.json")),
  "a check has 600 MB": async ({ bad }) => {
    const path = join(bad.folder, "checks", "20260101T000000Z-verified-aaaaaaaa-after-none.json")
    await writeFile(path, "")
    await truncate(path, 600e6)
  },
  "its folder is a link to one outside": async ({ bad, root }) => {
    await cp(bad.folder, `${root}-outside-${bad.id}`, { recursive: true })
    await rm(bad.folder, { recursive: true })
    await symlink(`${root}-outside-${bad.id}`, bad.folder)
  },
  "its data is a link to a folder outside": async ({ bad, root }) => {
    await cp(join(bad.folder, "data"), `${root}-outside-${bad.id}`, { recursive: true })
    await rm(join(bad.folder, "data"), { recursive: true })
    await symlink(`${root}-outside-${bad.id}`, join(bad.folder, "data"))
  },
  "a link goes around in circles": ({ bad }) => symlink(bad.folder, join(bad.folder, "data", "again")),
  "there are names that a terminal obeys": async ({ root, bad, database }) => {
    for (const [count, sequence] of escapes.entries()) {
      await mkdir(join(root, `${sequence}${count}`.replaceAll("/", "")), { recursive: true })
      await writeFile(join(bad.folder, `main${sequence}`), "")
      await mkdir(join(root, database, `20260101T000000Z-${sequence}`), { recursive: true })
    }
  },
  "there are thousands of other files": async ({ bad, root }) => {
    for (let count = 0; count < 3_000; count++) {
      await writeFile(join(bad.folder, "data", `stray-${count}`), "")
      await writeFile(join(root, `stray-${count}`), "")
    }
  },
  "its manifest names an object ten thousand times": async ({ bad }) => {
    const path = join(bad.folder, "manifest.json")
    // A manifest has objects.
    const manifest = JSON.parse(await readFile(path, "utf8")) as { objects: { name: string }[] }
    const [first] = manifest.objects
    if (first)
      for (let count = 0; count < 10_000; count++) manifest.objects.push({ ...first, name: `data/${count}` })
    await writeFile(path, JSON.stringify(manifest))
  },
}

const listed = z.object({
  backups: z.array(z.looseObject({ id: z.string(), problem: z.string().nullable() })),
})

/** One bad entry keeps nobody from the others, holds nobody up, and leads nobody out of the storage. */
const badEntries: readonly Attack[] = Object.entries(spoils).map(([what, spoil]) => ({
  title: `a hostile storage: of one backup, ${what}`,
  run: (world) => attackBy(world, [spoil]),
}))

/** All of them together. */
export const allAtOnce: Attack = {
  title: "a hostile storage: all that can be wrong with a backup, each with one",
  run: (world) => attackBy(world, Object.values(spoils)),
}

async function attackBy(world: AttackWorld, chosen: readonly Spoil[]): Promise<void> {
  const { bed, env, backup, target } = world
  const url = await world.newStorage()
  const root = url.slice("file://".length)
  const folder = join(root, backup.database, backup.id)
  await cp(backup.folder, folder, { recursive: true })
  const bad: string[] = []
  for (const [count, spoil] of chosen.entries()) {
    const id = `202601${String(count + 1).padStart(2, "0")}T030000Z-${backup.id.slice(-8)}`
    const copy = { id, folder: await copyBackup({ folder, id: backup.id }, id) }
    await spoil({ root, database: backup.database, bad: copy }, world)
    bad.push(id)
  }
  const storage = { PGSTOW_STORAGE: url }
  const listing = await bed.run(["list", "--json"], {
    env: { ...env, ...storage },
    withinMs: 30_000,
    measure: true,
  })
  if (listing.exitCode !== 0) throw new Error(`list: ${toldBy(listing)}`)
  const entry = listed.parse(JSON.parse(listing.stdout)).backups.find(({ id }) => id === backup.id)
  if (!entry || entry.problem !== null) throw new Error("the good backup is not listed")
  if (listing.peakBytes > memoryLimitBytes)
    throw new Error(`list took ${Math.round(listing.peakBytes / 1e6)} MB of memory`)
  await world.expectExit(["status", "--max-age-hours", "100000"], storage, 0)
  await world.expectExit(["verify", "latest", "--deep"], storage, 0)
  const into = `spoilt_${backup.id.slice(-8)}`
  // Of many there is no time to look at each.
  for (const id of bad.length === 1 ? bad : []) {
    await world.expectExit(["verify", id], storage, 0, 4, 6, 8)
    await world.expectExit(["show", id], storage, 0, 4, 6, 8)
    await world.expectExit(["restore", id, "--into", into], storage, 0, 4, 6, 8)
    await target.psql(`DROP DATABASE IF EXISTS "${into}"; DROP DATABASE IF EXISTS "incomplete_${into}"`)
  }
  await world.expectExit(["cleanup", "--keep-last", "1"], storage, 0, 4)
  await world.expectExit(["verify", backup.id], storage, 0)
  for (const outside of (await readdir(dirname(root))).filter((name) =>
    name.startsWith(`${basename(root)}-outside`),
  )) {
    const path = join(dirname(root), outside)
    if ((await readdir(path)).length === 0) throw new Error("what lies outside of the storage was removed")
    await rm(path, { recursive: true })
  }
  await rm(root, { recursive: true })
}

/** A storage that can't be one is told of at once, and before the server is asked for anything. */
const noStorages: readonly Attack[] = (
  [
    ["a link to nowhere", (path) => symlink("/nonexistent/disk", path)],
    ["a file", (path) => writeFile(path, "")],
    ["a FIFO", fifo],
    ["a link to itself", (path) => symlink(path, path)],
    ["a link to /proc", (path) => symlink("/proc/self", path)],
    ["a link to a device", (path) => symlink("/dev/null", path)],
  ] as const satisfies readonly (readonly [string, (path: string) => Promise<unknown>])[]
).map(([what, make]) => ({
  title: `a hostile storage: it is ${what}`,
  run: async (world: AttackWorld) => {
    const path = join(world.folder, `no-storage-${Math.random().toString(36).slice(2)}`)
    await make(path)
    for (const storage of [`file://${path}`, `file://${path}/below`]) {
      const more = { PGSTOW_STORAGE: storage, DATABASE_URL: world.source.url("small") }
      await world.expectExit(["backup"], more, 2, 4)
      // The server's own vacuum is none of ours, and what has just ended may take a moment.
      const sessions = () =>
        world.source.psql(
          "SELECT count(*) FROM pg_stat_activity WHERE datname = 'small' AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
      for (let tries = 1; (await sessions()) !== "0"; tries++) {
        if (tries === 50) throw new Error("a session stays on the server")
        await sleep(100)
      }
      await world.expectExit(["list"], more, 2, 4, 8)
    }
    await unlink(path)
  },
}))

export const hostileStorages: readonly Attack[] = [...badEntries, ...noStorages]

async function replace(path: string, make: (path: string) => Promise<unknown>): Promise<void> {
  await rm(path, { recursive: true })
  await make(path)
}

async function fifo(path: string): Promise<void> {
  execFileSync("mkfifo", [path])
}

/** A socket that nobody listens at any more. */
async function socket(path: string): Promise<void> {
  const server = createServer()
  // A path has room for some hundred bytes only.
  const short = join("/tmp", `pgstow-${process.pid}.socket`)
  await new Promise<void>((resolve) => server.listen(short, resolve))
  execFileSync("mv", [short, path])
  await new Promise((resolve) => server.close(resolve))
}
