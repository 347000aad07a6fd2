import { copyFile, open, readFile, rm, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { generateX25519Identity } from "age-encryption"
import { expect, test } from "vitest"
import { failureOfRun } from "../support/failure-line.ts"
import { run } from "../support/programs.ts"
import { type Scene, setScene } from "../support/scene.ts"

/** A scene, the folder of its newest backup, and that of the one before. */
type Stored = { readonly scene: Scene; readonly newest: string; readonly before: string }

type Case = {
  /** What is done to the newest backup. */
  readonly damage?: (stored: Stored) => Promise<void>
  /** The identity that is given. */
  readonly identity?: (stored: Stored) => Promise<string>
  readonly kind: "key" | "damaged"
  readonly message: RegExp
  readonly hint: RegExp
}

const main = "main.dump.zst.age"

async function flip(file: string, position: number): Promise<void> {
  await using handle = await open(file, "r+")
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, position)
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, position)
}

async function editManifest(folder: string, edit: (text: string) => string): Promise<void> {
  const file = join(folder, "manifest.json")
  await writeFile(file, edit(await readFile(file, "utf8")))
}

const cases: Record<string, Case> = {
  "another key": {
    identity: () => generateX25519Identity(),
    kind: "key",
    message: /^none of the identities given opens \S+\/main\.dump\.zst\.age/,
    hint: /age1/,
  },
  "no key": {
    identity: () => Promise.resolve(""),
    kind: "key",
    message: /is encrypted, and no identity was given/,
    hint: /age1/,
  },
  "a key that is itself encrypted": {
    identity: async ({ scene }) => {
      const file = join(scene.folder, "locked.key")
      await writeFile(file, run("age", ["-r", scene.recipient], Buffer.from(scene.identity)))
      return file
    },
    kind: "key",
    message: /locked\.key is itself encrypted/,
    hint: /age -d/,
  },
  "a manifest that is cut": {
    damage: ({ newest }) => editManifest(newest, (text) => text.slice(0, text.length / 2)),
    kind: "damaged",
    message: /manifest\.json can't be read/,
    hint: /FORMAT\.md/,
  },
  "a manifest of a later format": {
    damage: ({ newest }) => editManifest(newest, (text) => text.replace(/"format": ?\d+/, '"format": 99')),
    kind: "damaged",
    message: /manifest\.json can't be read: .*99/,
    hint: /newer/,
  },
  "an object that is missing": {
    damage: ({ newest }) => rm(join(newest, main)),
    kind: "damaged",
    message: /main\.dump\.zst\.age .*is missing/,
    hint: /another/,
  },
  "an object that is cut": {
    damage: ({ newest }) => truncate(join(newest, main), 5_000),
    kind: "damaged",
    message: /main\.dump\.zst\.age .* has 5000 bytes, and \d+ by its manifest/,
    hint: /another/,
  },
  "a flipped bit": {
    damage: ({ newest }) => flip(join(newest, main), 5_000),
    kind: "damaged",
    message: /main\.dump\.zst\.age/,
    hint: /another/,
  },
  "an object of another backup": {
    damage: ({ newest, before }) => copyFile(join(before, main), join(newest, main)),
    kind: "damaged",
    message: /main\.dump\.zst\.age .* by its manifest/,
    hint: /swapped/,
  },
}

test.each(Object.entries(cases))("%s is a clear error, and no database seems restored", async (_, one) => {
  const scene = await setScene()
  await scene.server.psql(
    "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i",
    scene.database,
  )
  const ids: string[] = []
  for (const _ of ["before", "newest"]) {
    ids.push(String(Object(await scene.json(["backup", "--no-verify"])).id))
    await scene.server.psql(
      "INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 100) i",
      scene.database,
    )
  }
  const [before = "", newest = ""] = ids.map((id) => join(scene.folder, "backups", scene.database, id))
  const stored = { scene, before, newest }
  await one.damage?.(stored)
  const env = { PGSTOW_IDENTITY: (await one.identity?.(stored)) ?? scene.identity }

  const into = `${scene.database}_back`
  const [id = ""] = ids.slice(-1)
  const restored = failureOfRun(await scene.run(["restore", id, "--into", into], env))
  expect(restored.kind).toBe(one.kind)
  expect(restored.message).toMatch(one.message)
  expect(restored.hint).toMatch(one.hint)
  expect(await scene.server.psql(`SELECT count(*) FROM pg_database WHERE datname = '${into}'`)).toBe("0")

  const verified = await scene.run(["verify", id, "--deep", "--log-level", "error"], env)
  expect(failureOfRun(verified).kind).toBe(one.kind)
})
