import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, test } from "vitest"
import { openStorage } from "../../task/storage/open-storage.ts"
import { sample, samples } from "../legacy/samples.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { keysOf } from "../support/storage-contents.ts"

const emiti = "emiti_metrics_20240115_030000.sql.gz.enc"
const passphrase = "emiti_metrics_20240116_030000.sql.gz.enc"
const plain = "sentinel_backup_20251215_163138.sql.gz"
const salted = "sentinel_backup_20251216_163138.sql.gz.enc"

test("every file of both systems becomes a backup with its own time, in the machine's time zone, and checks deeply", async () => {
  const scene = await setScene()
  await importSamples(scene)
  const { backups } = (await scene.json(["list"])) as {
    backups: { database: string; startedAt: string; id: string }[]
  }
  expect(backups.map(({ database, startedAt }) => [database, startedAt])).toEqual([
    ["sentinel_db", "2025-12-16T21:31:38.000Z"],
    ["sentinel_db", "2025-12-15T21:31:38.000Z"],
    ["emiti_metrics", "2024-01-16T08:00:00.000Z"],
    ["emiti_metrics", "2024-01-15T08:00:00.000Z"],
  ])
  for (const { id } of backups) {
    expect(await scene.json(["verify", id, "--deep"])).toMatchObject([{ kind: "deep-verified" }])
  }
  const { stdout } = await scene.run(["show", backups.at(-1)?.id ?? ""])
  expect(stdout).toContain(`imported     from ${emiti} of emiti`)
  expect(stdout).toContain("PostgreSQL 15.18")
  expect(stdout).toContain("2 tables")
})

test("importing a folder again stores nothing anew, and takes no key for a backup", async () => {
  const scene = await setScene()
  const folder = join(scene.folder, "older")
  await mkdir(folder)
  for (const name of [emiti, plain, `${plain}.sha256`, "emiti.key"])
    await copyFile(sample(name), join(folder, name))
  const args = ["import", folder, "--legacy-key-file", sample("emiti.key"), "--name", "both"]
  expect(await scene.json(args)).toMatchObject({
    files: [{ state: "skipped" }, { state: "imported" }, { state: "imported" }],
  })
  const before = await stored(scene)
  const again = await scene.json(args)
  expect(again).toMatchObject({ files: [{ state: "skipped" }, { state: "present" }, { state: "present" }] })
  expect(await stored(scene)).toEqual(before)

  const second = `file://${scene.folder}/second`
  const both = await scene.json([...args, "--storage", scene.storage, "--storage", second])
  expect(both).toMatchObject({
    files: [{}, { state: "imported", backup: { storages: [{ storage: second }] } }, {}],
  })
})

test.each([
  ["no key", emiti, {}, 7, "there is no key"],
  ["the wrong key", emiti, { ENCRYPTION_KEY: "another" }, 7, "the key is wrong, or the file was altered"],
  ["the wrong key file", salted, { ENCRYPTION_KEY_PATH: sample("emiti.key") }, 7, "the key is wrong"],
  [
    "a key file that is not there",
    salted,
    { ENCRYPTION_KEY_PATH: "/nonexistent" },
    7,
    "/nonexistent can't be read",
  ],
  ["not a backup", "emiti.key", {}, 2, "is something unknown, not a backup of Emiti or Sentinel"],
  ["not there", "missing", {}, 2, "missing can't be read"],
])("%s: its message, and nothing imported", async (_, name, env, exitCode, message) => {
  const scene = await setScene()
  const result = await scene.run(["import", sample(name)], env)
  expect(result.stderr).toContain(message)
  expect(result.exitCode).toBe(exitCode)
  expect(await readdir(scene.folder)).toEqual([])
})

test("a damaged file leaves nothing, and keeps none of the others from being imported", async () => {
  const scene = await setScene()
  const damaged = join(scene.folder, plain)
  const bytes = await readFile(sample(plain))
  bytes[20_000] = (bytes[20_000] ?? 0) ^ 1
  await writeFile(damaged, bytes)
  const alone = await scene.run(["import", damaged])
  expect(alone.exitCode).toBe(6)
  expect(alone.stderr).toContain("the gzip data is damaged")
  expect(await stored(scene)).toEqual([])

  const { exitCode, stdout, stderr } = await scene.run(["import", damaged, sample(passphrase), "--json"], {
    ENCRYPTION_KEY: "correct horse battery staple",
  })
  expect(exitCode).toBe(6)
  expect(stderr).toContain(`1 file of 2 could not be imported everywhere: ${plain}`)
  expect(JSON.parse(stdout)).toMatchObject({ files: [{ state: "failed" }, { state: "imported" }] })
})

test("checksums that a pattern of the shell's names are passed over, and why a file fails is said once", async () => {
  const scene = await setScene()
  const folder = join(scene.folder, "older")
  await mkdir(folder)
  for (const name of [plain, `${plain}.sha256`]) await copyFile(sample(name), join(folder, name))
  const cut = join(folder, "sentinel_backup_20251217_163138.sql.gz")
  await writeFile(cut, (await readFile(sample(plain))).subarray(0, 3000))
  const files = (await readdir(folder)).sort().map((name) => join(folder, name))
  const env = { PGSTOW_NAME: "orders" }
  const { exitCode, stdout, stderr } = await scene.run(["import", ...files], env)
  expect(exitCode).toBe(6)
  expect(stdout).not.toContain(".sha256")
  expect((stdout + stderr).match(/the gzip data is cut short/g), stdout + stderr).toHaveLength(1)
  expect(stderr).toContain(`${cut} was not imported: the gzip data`)
  expect(stdout).toMatch(/20251217_163138.sql.gz .*failed$/m)
  const alone = failureOfRun(await scene.run(["import", join(folder, `${plain}.sha256`)], env))
  expect(alone.kind).toBe("usage")
})

async function stored(scene: Scene): Promise<string[]> {
  return keysOf(openStorage(scene.storage, { env: {} }))
}

async function importSamples(scene: Scene): Promise<void> {
  for (const { name, keyFile } of samples) {
    const key = keyFile === undefined ? [] : ["--legacy-key-file", keyFile]
    const env = { DATABASE_URL: "", PGDATABASE: "sentinel_db", TZ: "America/New_York" }
    expect(await scene.json(["import", sample(name), ...key], env)).toMatchObject({
      files: [{ state: "imported", backup: { storages: [{ state: "verified" }] } }],
    })
  }
}
