import { execFile } from "node:child_process"
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import * as z from "zod"
import { parseManifest } from "../../task/core/manifest.ts"
import { exitCodes } from "../../task/errors.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** Two big tables of one shape, which leave the dump as segments, and a small one. */
const tables = `
  CREATE TABLE mine (n int, text text);
  ALTER TABLE mine ALTER text SET STORAGE PLAIN;
  CREATE TABLE yours (LIKE mine INCLUDING STORAGE);
  CREATE TABLE small (LIKE mine);
  INSERT INTO mine SELECT n, repeat('m', 7000) FROM generate_series(1, 2200) AS n;
  INSERT INTO yours SELECT n, repeat('y', 7000) FROM generate_series(1, 2200) AS n;
  INSERT INTO small VALUES (1, 'text')`

const made = z.object({ signer: z.string(), signingKeyFile: z.string() })
const backedUp = z.object({ id: z.string() })

/** A database, two signed backups of it, and one that somebody else has signed. */
async function setSignedBackups() {
  const scene = await setScene()
  const { server, database, folder, json } = scene
  await server.psql(tables, database)
  const makeKey = async (name: string) => made.parse(await json(["keygen", "--signing", "--out", name]))
  const [mine, others] = [await makeKey("mine.key"), await makeKey("others.key")]
  const backUp = async (key: string) =>
    backedUp.parse(await json(["backup", "--name", "orders", "--jobs", "2", "--signing-key", key])).id
  const folderOf = (id: string) => join(folder, "backups/orders", id)
  const older = await backUp(mine.signingKeyFile)
  const id = await backUp(mine.signingKeyFile)
  return { scene, mine, others, backUp, folderOf, older, id }
}

/** Everything that reads a backup. */
const readers = (id: string, folder: string, into: string): readonly (readonly string[])[] => [
  ["restore", id, "--into", into],
  ["verify", id],
  ["verify", id, "--deep"],
  ["cat", id],
  ["globals", id],
  ["export", id, "--out", join(folder, "exported")],
  ["show", id],
]

/** Nobody takes the backup: each reader exits with one of the codes, and nothing is made of it. */
async function expectRefused(
  { run, folder, server }: Scene,
  id: string,
  signer: string,
  kinds: readonly string[] = ["signature"],
): Promise<void> {
  const into = `refused_${id.slice(-8)}`
  const env = { PGSTOW_SIGNED_BY: signer }
  for (const args of readers(id, folder, into)) {
    const ended = await run([...args, "--database", "orders"], env)
    expect(kinds, args.join(" ")).toContain(failureOfRun(ended).kind)
    expect(ended.stdout).toBe("")
  }
  const left = await server.psql(`SELECT count(*) FROM pg_database WHERE datname LIKE '%${into}'`)
  expect(left).toBe("0")
  await expect(readFile(join(folder, "exported/toc.dat"))).rejects.toThrow("ENOENT")
}

test("a signed backup is restored by whoever has the public half, and by whoever asks for none", async () => {
  const { scene, mine, others, id } = await setSignedBackups()
  const { json, run, server, database } = scene
  const env = { PGSTOW_SIGNED_BY: `${others.signer} ${mine.signer}` }
  await json(["verify", id, "--deep"], env)
  for (const [into, trusted] of [
    ["signed_trusted", env],
    ["signed_anyhow", {}],
  ] as const) {
    await json(["restore", id, "--into", `${database}_${into}`], trusted)
    const there = { server, name: `${database}_${into}` }
    expect(await compareDatabases({ server, name: database }, there)).toEqual([])
  }
  expect(await json(["show", id])).toMatchObject({ signer: mine.signer, trusted: false })
  expect(await json(["show", id], env)).toMatchObject({ signer: mine.signer, trusted: true })
  expect(await json(["list"], env)).toMatchObject({ backups: [{ id, signer: mine.signer }, {}] })
  expect((await run(["list"], { PGSTOW_SIGNED_BY: "pgstow-signer-x" })).exitCode).toBe(exitCodes.key)
})

test("a backup whose manifest was changed, or that another key has signed, is taken by nobody", async () => {
  const { scene, mine, others, backUp, folderOf, older, id } = await setSignedBackups()
  const { json, run, database } = scene
  const path = join(folderOf(id), "manifest.json")
  const text = await readFile(path, "utf8")
  const manifest = parseManifest(text)
  const segments = manifest.objects.filter((object) => object.kind === "segment")
  expect(new Set(segments.map(({ table }) => table))).toEqual(new Set(["mine", "yours"]))
  const swapped = (table: string) => ({ mine: "yours", yours: "mine" })[table] ?? table

  const objectsChanged = (objects: unknown) => `${JSON.stringify({ ...manifest, objects }, null, 2)}\n`
  const attacks: Readonly<Record<string, string>> = {
    "two tables of one shape are swapped": objectsChanged(
      manifest.objects.map((object) =>
        object.kind === "segment" ? { ...object, table: swapped(object.table) } : object,
      ),
    ),
    "a table's segments are left out": objectsChanged(
      manifest.objects.filter((object) => object.kind !== "segment" || object.table !== "mine"),
    ),
    "another time": text.replace(/"startedAt": "2/, '"startedAt": "1'),
    "not signed any more": text.split("\n").toSpliced(1, 1).join("\n"),
    "another backup's signature": text
      .split("\n")
      .toSpliced(1, 1, (await readFile(join(folderOf(older), "manifest.json"), "utf8")).split("\n")[1] ?? "")
      .join("\n"),
  }
  for (const [attack, changed] of Object.entries(attacks)) {
    expect(changed, attack).not.toBe(text)
    await writeFile(path, changed)
    await expectRefused(scene, id, mine.signer)
  }
  // Who asks for no signature sees what the first of them does only in the restored database.
  await writeFile(path, attacks["two tables of one shape are swapped"] ?? "")
  await json(["restore", id, "--into", `${database}_swapped`])
  expect(await scene.server.psql("SELECT min(text) FROM mine", `${database}_swapped`)).toMatch(/^yyy/)
  await writeFile(path, text)
  await expectRefused(scene, id, others.signer)

  // All of an older backup, under the id of a newer one that was never made.
  const replayed = `20991231T030000Z${id.slice(16)}`
  await cp(folderOf(older), folderOf(replayed), { recursive: true })
  await expectRefused(scene, replayed, mine.signer, ["damaged"])
  await rm(folderOf(replayed), { recursive: true })

  const forged = await backUp(others.signingKeyFile)
  await expectRefused(scene, forged, mine.signer)
  const latest = await run(["restore", "latest", "--into", `${database}_latest`, "--json"], {
    PGSTOW_SIGNED_BY: mine.signer,
  })
  expect(latest.exitCode).toBe(0)
  expect(JSON.parse(latest.stdout)).toMatchObject({ id })
  expect(latest.stderr).toContain(`passing over ${forged}, which is newer`)
})

test("imported backups are signed, too", async () => {
  const { json, run, folder } = await setScene()
  const { signer, signingKeyFile } = made.parse(await json(["keygen", "--signing"]))
  const file = new URL("../fixtures/legacy/sentinel_backup_20251215_163138.sql.gz", import.meta.url)
  const args = ["import", file.pathname, "--name", "old", "--signing-key", signingKeyFile]
  expect(await json(args)).toMatchObject({ files: [{ state: "imported" }] })
  await json(["verify", "latest", "--deep", "--signed-by", signer])
  const other = made.parse(await json(["keygen", "--signing", "--out", "other.key"])).signer
  expect(failureOfRun(await run(["verify", "latest", "--signed-by", other])).kind).toBe("signature")

  expect(await json(args)).toMatchObject({ files: [{ state: "present" }] })
  // Whoever knows the file could have put a backup of their own there, for the old file to be deleted.
  const backups = join(folder, "backups/old")
  const [id = ""] = await readdir(backups)
  const path = join(backups, id, "manifest.json")
  await writeFile(path, (await readFile(path, "utf8")).split("\n").toSpliced(1, 1).join("\n"))
  const again = failureOfRun(await run(args))
  expect(again.kind).toBe("signature")
  expect(again.hint).toContain(`pgstow remove ${id}`)
})

test("a signing key that can't be used keeps a backup from being made", async () => {
  const { run, expectNoBackup } = await setScene()
  const { exitCode, stderr } = await run(["backup", "--signing-key", "nowhere.key"])
  expect(exitCode).toBe(exitCodes.key)
  expect(stderr).toContain("the signing key file nowhere.key can't be read")
  await expectNoBackup()
})

test("the format document checks a signature by stock tools", async () => {
  const { mine, others, folderOf, id } = await setSignedBackups()
  const text = await readFile(new URL("../../task/FORMAT.md", import.meta.url), "utf8")
  const section = text.slice(text.indexOf("## The signature"))
  const [, command = ""] = /```sh\n(.*?)```/s.exec(section) ?? []
  const check = (signer: string) =>
    promisify(execFile)(
      "bash",
      ["-euo", "pipefail", "-c", command.replace("signer=pgstow-signer-...", `signer=${signer}`)],
      { cwd: folderOf(id) },
    )
  expect((await check(mine.signer)).stdout).toContain("Signature Verified Successfully")
  await expect(check(others.signer)).rejects.toThrow()
  const path = join(folderOf(id), "manifest.json")
  await writeFile(path, (await readFile(path, "utf8")).replace('"format": 1', '"format": 2'))
  await expect(check(mine.signer)).rejects.toThrow()
}, 120_000)
