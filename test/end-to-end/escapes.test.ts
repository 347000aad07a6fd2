import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, onTestFinished, test } from "vitest"
import { keyOf, putCheck, putManifest } from "../../task/catalog/catalog.ts"
import { formatManifest, type Manifest } from "../../task/core/manifest.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import { setBucket } from "../support/bucket.ts"
import { needsLinux } from "../support/not-run.ts"
import type { Finished } from "../support/pgstow.ts"
import { sampleManifest, sampleObjects } from "../support/sample-backup.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { runOnTerminal } from "../support/terminal.ts"

/** What sets a title, colours, deletes, turns text around and begins a line of its own. */
const poison = "\x1b]0;x\x07\u009b31m\x7f\u202e\u2066\x08\r\nFORGED"
const ids = ["20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb", "20260103T030000Z-cccccccc"] as const

function expectHarmless(text: string): void {
  expect(text).not.toMatch(/[^\n\P{Cc}]|[\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u)
  expect(text).not.toMatch(/^FORGED/m)
}

function expectBothHarmless({ stdout, stderr }: Finished): void {
  expectHarmless(stdout)
  expectHarmless(stderr)
}

/** The manifest with the poison in every text that it may be in. */
function poisoned(manifest: Manifest): Manifest {
  let result = manifest
  const visit = (value: unknown, path: readonly (string | number)[]): void => {
    if (typeof value === "string") {
      const tried = withValue(result, path, value + poison) as Manifest
      try {
        formatManifest(tried)
        result = tried
      } catch {
        // Times, ids, digests and names of objects are nothing but what they are.
      }
    } else if (typeof value === "object" && value !== null)
      for (const [key, inner] of Object.entries(value)) visit(inner, [...path, key])
  }
  visit(manifest, [])
  return result
}

function withValue(tree: unknown, [key, ...rest]: readonly (string | number)[], value: string): unknown {
  if (key === undefined) return value
  if (Array.isArray(tree))
    return tree.map((inner: unknown, index): unknown =>
      index === Number(key) ? withValue(inner, rest, value) : inner,
    )
  const object = tree as Record<string, unknown>
  return { ...object, [key]: withValue(object[key], rest, value) }
}

/** A backup with poison in every field and in a check, one whose manifest is none, and one in another's place. */
async function setPoisonedScene(): Promise<Scene & { readonly manifest: Manifest }> {
  const scene = await setScene()
  const storage = openStorage(scene.storage, { env: {} })
  const sample = sampleManifest({ id: ids[0] })
  const [main] = sample.objects
  if (!main) throw new Error("the sample has no objects")
  const manifest = poisoned({
    ...sample,
    source: { ...sample.source, locale: "en", icuRules: "&a" },
    importedFrom: { system: "emiti", file: "file", sha256: main.sha256, at: sample.startedAt },
    tableRows: [{ table: "public.orders", rows: 3 }],
    objects: [
      main,
      {
        ...main,
        name: "data/0001.copy.zst.age",
        kind: "segment",
        schema: "public",
        table: "orders",
        columns: ["id"],
        rows: 3,
        pages: null,
      },
    ],
  })
  for (const bytes of Object.values(sampleObjects(ids[0])).slice(0, 1))
    for (const { name } of manifest.objects) await storage.put(keyOf(manifest, name), bytes)
  await putManifest(storage, manifest)
  const problems = [{ object: poison, expected: poison, found: poison }]
  await putCheck(storage, manifest, { kind: "failed", at: sample.startedAt, by: poison, problems }, [])
  const { database } = manifest
  const broken = { ...manifest, startedAt: poison, objects: [{ kind: poison }] }
  await storage.put(keyOf({ database, id: ids[1] }, "manifest.json"), Buffer.from(JSON.stringify(broken)))
  await storage.put(
    keyOf({ database, id: ids[2] }, "manifest.json"),
    Buffer.from(formatManifest({ ...manifest, database: `${poison}other` })),
  )
  return { ...scene, manifest }
}

const esc = "\\u001b"
const commands: readonly (readonly string[])[] = [
  ["list"],
  ["show", ids[0]],
  ["verify", ids[0], "--deep"],
  ["restore", ids[0], "--into", "restored"],
  ["verify", ids[1], "--debug"],
  ["restore", ids[2], "--into", "restored"],
  ["status"],
  ["cleanup", "--dry-run", "--keep-last", "1"],
]

describe("what others have put into names, manifests and checks reaches nobody's terminal", () => {
  test("as text, as JSON, in the log, in its file", async () => {
    const scene = await setPoisonedScene()
    expect(JSON.stringify(scene.manifest).split("FORGED").length).toBeGreaterThan(15)
    for (const args of commands) {
      const logFile = join(scene.folder, "log")
      const env = { LOG_FILE: logFile, LOG_LEVEL: "debug" }
      expectBothHarmless(await scene.run(args, env))
      if (args.includes("--debug")) continue
      const json = await scene.run([...args, "--json"], env)
      expectBothHarmless(json)
      if (args[0] === "show" && json.exitCode === 0)
        expect(JSON.parse(json.stdout)).toMatchObject({ manifest: scene.manifest })
      expectHarmless(await readFile(logFile, "utf8"))
    }
    expectBothHarmless(await scene.run(["show", poison, "--database", poison]))
    expectBothHarmless(await scene.run([poison, `--${poison}`]))
  })

  test.skipIf(needsLinux)(`on a terminal${needsLinux}`, async () => {
    const scene = await setPoisonedScene()
    for (const args of commands.slice(0, 4)) {
      const { screen } = await runOnTerminal(scene, args)
      // What the program itself writes: where the status was, and colours of states and of whole lines.
      const ownWord = new RegExp(`${esc}\\[3[1236]m([a-z -]+)${esc}\\[0m`, "g")
      const lines = screen.replaceAll("\r\x1b[K", "\n").replaceAll(ownWord, "$1").split("\n")
      const ownColour = new RegExp(`^${esc}\\[(?:2|31|33)m(.*)${esc}\\[0m$`)
      expectHarmless(lines.map((line) => line.replace(ownColour, "$1")).join("\n"))
    }
  })
})

test("nor do names of files that are imported", async () => {
  const scene = await setScene()
  const folder = join(scene.folder, "older")
  await mkdir(folder)
  const dump = "--\n-- PostgreSQL database dump\n--\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
  await writeFile(join(folder, `${poison.replace("/", "")}_20240115_030000.sql`), dump)
  await writeFile(join(folder, `no backup ${poison}`), "nothing")
  await writeFile(join(folder, `cut ${poison}.sql`), dump.slice(0, 60))
  const finished = await scene.run(["import", folder])
  expect(finished.stdout).toContain("imported")
  expectBothHarmless(finished)
  expectBothHarmless(await scene.run(["import", folder, "--json"]))
  expectBothHarmless(await scene.run(["list"]))
})

test("nor do the messages of servers", async () => {
  const scene = await setScene()
  const refused = await scene.run(["backup", "--dbname", `${poison}`])
  expect(refused.exitCode).toBe(3)
  expect(refused.stderr).toContain("FORGED")
  expectBothHarmless(refused)
  const bucket = await setBucket()
  bucket.endpoint.inject(() => ({ status: 400, code: "Odd\u009b31m\u202e\x7f" }))
  const odd = await scene.run(["list"], { ...bucket.env, PGSTOW_STORAGE: bucket.storage })
  expect(odd.exitCode).toBe(4)
  expect(odd.stderr).toContain("Odd")
  expectBothHarmless(odd)
})

test.skipIf(needsLinux)(
  `nor does the SQL that makes roles, which a program gets as it is${needsLinux}`,
  async () => {
    const scene = await setScene()
    const role = `odd_${scene.database}`
    const name = "\x1b]0;x\x07\u009b31m\u202e"
    await scene.server.psql(`CREATE ROLE ${role}; ALTER ROLE ${role} SET application_name = '${name}'`)
    onTestFinished(async () => void (await scene.server.psql(`DROP ROLE ${role}`)))
    await scene.server.psql(`CREATE TABLE t (a int); GRANT SELECT ON t TO ${role}`, scene.database)
    onTestFinished(async () => void (await scene.server.psql("DROP TABLE t", scene.database)))
    await scene.json(["backup"])
    expect((await scene.run(["globals", "latest"])).stdout).toContain(name)
    const { screen } = await runOnTerminal(scene, ["globals", "latest"])
    expect(screen).toContain("\\u001b]0;x\\u0007\\u009b31m\\u202e")
    expectHarmless(screen.replaceAll("\r\x1b[K", ""))
  },
)
