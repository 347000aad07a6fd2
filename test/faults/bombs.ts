import { execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { cp, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { gzipSync, zstdCompressSync } from "node:zlib"
import type { Attack, AttackWorld } from "./attack.ts"
import { toldBy } from "./bed.ts"
import type { StoredManifest } from "./stored-backups.ts"

/** What one frame of a bomb becomes, and how many there are of it: 200 GiB in some megabytes. */
const frameBytes = 256 * 1024 ** 2
const frames = 800
const memoryLimitBytes = 500 * 1024 ** 2
const endsWithinMs = 45_000

/** Puts an object that is sealed well, and of whose size the manifest tells the truth, in the place of another. */
async function plant(world: AttackWorld, name: string, bytes: Buffer): Promise<string> {
  const { backup } = world
  const url = await world.newStorage()
  const folder = join(url.slice("file://".length), backup.database, backup.id)
  await cp(backup.folder, folder, { recursive: true })
  await writeFile(join(folder, name), bytes)
  const path = join(folder, "manifest.json")
  // It was read as one before it was copied.
  const manifest = JSON.parse(await readFile(path, "utf8")) as StoredManifest
  for (const object of manifest.objects)
    if (object.name === name) {
      object.sizeBytes = bytes.length
      object.sha256 = createHash("sha256").update(bytes).digest("hex")
    }
  await writeFile(path, JSON.stringify(manifest))
  return url
}

/** 200 GiB of one text, compressed and sealed. */
async function bombOf(world: AttackWorld, text: string): Promise<Buffer> {
  const frame = zstdCompressSync(Buffer.alloc(frameBytes, text))
  const age = spawn("age", ["-r", world.bed.recipient], { stdio: ["pipe", "pipe", "inherit"] })
  const sealed = buffer(age.stdout)
  age.stdin.end(Buffer.concat(Array.from({ length: frames }, () => frame)))
  return sealed
}

/** Runs the program, and throws unless it finds the bomb in time and in little memory. */
async function expectFound(
  world: AttackWorld,
  args: readonly string[],
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const ended = await world.bed.run(args, {
    env: { ...world.env, ...more },
    withinMs: endsWithinMs,
    measure: true,
  })
  if (ended.exitCode === 0) throw new Error(`${args.join(" ")} ended well`)
  if (ended.exitCode === 3) throw new Error(`${args.join(" ")}: ${toldBy(ended)}`)
  if (ended.peakBytes > memoryLimitBytes)
    throw new Error(`${args.join(" ")} took ${Math.round(ended.peakBytes / 1e6)} MB`)
}

const planted = (title: string, kind: string, text: string): Attack => ({
  title: `a bomb: ${title}`,
  run: async (world) => {
    const object = world.backup.manifest.objects.find((each) => each.kind === kind)
    if (!object) throw new Error(`the backup has no ${kind}`)
    const url = await plant(world, object.name, await bombOf(world, text))
    await expectFound(world, ["verify", "latest", "--deep"], { PGSTOW_STORAGE: url })
    if (kind === "globals") return
    await expectFound(world, ["restore", "latest", "--into", "bomb"], { PGSTOW_STORAGE: url })
    await world.target.psql("DROP DATABASE IF EXISTS incomplete_bomb WITH (FORCE)")
  },
})

/** What is small, and grows without end when it is opened. */
export const bombs: readonly Attack[] = [
  planted("a segment of 200 GiB of rows", "segment", `${["7", "x", "more"].join("\t")}\n`),
  planted("globals of 200 GiB", "globals", "-- nothing\n"),
  planted("a main object of 200 GiB", "main", "\0"),
  {
    title: "a bomb: a header of age without an end",
    run: async (world) => {
      const [main] = world.backup.manifest.objects.filter(({ kind }) => kind === "main")
      const stanza = `-> X25519 ${"A".repeat(43)}\n${"B".repeat(43)}\n`
      const bytes = Buffer.from(`age-encryption.org/v1\n${stanza.repeat(1_000_000)}`)
      const url = await plant(world, main?.name ?? "", bytes)
      await expectFound(world, ["verify", "latest", "--deep"], { PGSTOW_STORAGE: url })
    },
  },
  {
    title: "a bomb: an older system's file of 1 GiB of nothing",
    run: async (world) => {
      const member = gzipSync(Buffer.alloc(frameBytes))
      const file = join(world.folder, "bomb_20260101_000000.sql.gz")
      const head = gzipSync("--\n-- PostgreSQL database dump\n--\n\n")
      await writeFile(file, Buffer.concat([head, ...Array.from({ length: 4 }, () => member)]))
      const url = await world.newStorage()
      await expectFound(world, ["import", file], { PGSTOW_STORAGE: url })
      execFileSync("rm", ["-f", file])
    },
  },
]
