import { randomBytes } from "node:crypto"
import { appendFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { generateHybridIdentity, identityToRecipient } from "age-encryption"
import { beforeAll, describe, expect, test } from "vitest"
import * as z from "zod"
import { seal, unseal } from "../../task/streams/seal.ts"
import { bytesOf, inPieces } from "../support/bytes.ts"
import { compareDatabases } from "../support/compare-databases.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { run } from "../support/programs.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"
import { canBuildStockAge, stockAge } from "../support/stock-age.ts"

const made = z.object({ recipient: z.string(), identityFile: z.string() })
const shown = z.object({ manifest: z.object({ id: z.string() }) }).loose()

/** Makes a hybrid key as a user does. */
async function makeKey(scene: Scene, out: string) {
  return made.parse(await scene.json(["keygen", "--hybrid", "--out", out]))
}

test("a backup for a hybrid recipient is verified to its last byte, restored, and opens with nothing else", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  const { recipient, identityFile } = await makeKey(scene, "hybrid.key")
  const keys = { PGSTOW_RECIPIENTS: recipient, PGSTOW_IDENTITY: identityFile }
  await scene.json(["backup", "--name", "orders", "--jobs", "2"], keys)
  await scene.json(["verify", "latest", "--deep"], keys)
  await scene.json(["restore", "latest", "--into", `${database}_hybrid`], keys)
  expect(await compareDatabases({ server, name: database }, { server, name: `${database}_hybrid` })).toEqual(
    [],
  )

  // The identity of the scene is a classic one.
  const failure = failureOfRun(await scene.run(["restore", "latest", "--into", "nothing"]))
  expect(failure.kind).toBe("key")
  expect(failure.message).toMatch(/^.*none of the identities given opens/)
  expect(failure.hint).toContain(`${recipient.slice(0, 62)}…`)
  expect(failure.hint?.length).toBeLessThan(300)
  const { stdout } = await scene.run(["show", "latest"], keys)
  expect(stdout).toContain(`age, for ${recipient.slice(0, 62)}…`)
  expect(stdout).not.toContain(recipient)
})

test("after a rotation from a classic key to a hybrid one, a file with both opens old and new backups", async () => {
  const scene = await setScene()
  await scene.server.psql("CREATE TABLE t AS SELECT generate_series(1, 100) AS n", scene.database)
  await scene.json(["backup", "--name", "orders"])
  const { recipient, identityFile } = await makeKey(scene, "both.key")
  await appendFile(identityFile, `${scene.identity}\n`)
  await scene.json(["backup", "--name", "orders"], { PGSTOW_RECIPIENTS: recipient })
  await scene.json(["verify", "--all", "--deep"], { PGSTOW_IDENTITY: identityFile })
})

describe.skipIf(!canBuildStockAge)("the stock age program, from 1.3 on (needs Go to be built)", () => {
  let folder: string
  beforeAll(async () => {
    folder = await stockAge()
  }, 600_000)
  const age = (args: readonly string[], input?: Buffer) => run(join(folder, "age"), [...args], input)
  const ageKeygen = (args: readonly string[], input?: Buffer) =>
    run(join(folder, "age-keygen"), [...args], input)
  const sizes = [0, 1, 64 * 1024, 200_000]

  test("reads the identity file that keygen --hybrid wrote, and finds the same recipient in it", async () => {
    const scene = await setScene()
    const { recipient, identityFile } = await makeKey(scene, "hybrid.key")
    expect(ageKeygen(["-y", identityFile]).toString().trim()).toBe(recipient)
    const theirs = ageKeygen(["-pq"]).toString()
    const lines = (text: string) => text.split("\n").map((line) => line.replace(/[:1].*$/, ""))
    expect(lines(theirs)).toEqual(lines(await readFile(identityFile, "utf8")))
  })

  test("opens what pgstow seals for several hybrid recipients, and pgstow opens what it seals", async () => {
    const scene = await setScene()
    const file = join(scene.folder, "theirs.key")
    await writeFile(file, ageKeygen(["-pq"]), { mode: 0o600 })
    const recipient = ageKeygen(["-y", file]).toString().trim()
    const [identity = ""] = /^AGE-SECRET-KEY-PQ-1\w+$/m.exec(await readFile(file, "utf8")) ?? []
    const other = await identityToRecipient(await generateHybridIdentity())
    for (const size of sizes) {
      const plain = randomBytes(size)
      const ours = await bytesOf(seal(inPieces(plain), [other, recipient]))
      expect(age(["-d", "-i", file], ours).equals(plain)).toBe(true)
      const theirs = age(["-r", recipient, "-r", other], plain)
      const opened = await bytesOf(unseal(inPieces(theirs), { name: "main", identities: [identity] }))
      expect(opened.equals(plain)).toBe(true)
    }
  })

  test("opens a whole backup, which zstd and pg_restore then read", async () => {
    const scene = await setScene()
    await scene.server.psql("CREATE TABLE t AS SELECT generate_series(1, 100) AS n", scene.database)
    const { recipient, identityFile } = await makeKey(scene, "hybrid.key")
    await scene.json(["backup", "--name", "orders"], { PGSTOW_RECIPIENTS: recipient })
    const { manifest } = shown.parse(await scene.json(["show", "latest"]))
    const object = join(scene.folder, "backups/orders", manifest.id, "main.dump.zst.age")
    const dump = run("zstd", ["-dc"], age(["-d", "-i", identityFile, object]))
    expect(run(join(scene.server.binDir, "pg_restore"), ["--list"], dump).toString()).toContain(
      "TABLE DATA public t",
    )
  })

  test("refuses to mix the two kinds, as pgstow does", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    const { recipient } = await setScene()
    expect(() => age(["-r", hybrid, "-r", recipient], Buffer.from("x"))).toThrow(/can't mix/)
  })
})
