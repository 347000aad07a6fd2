import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Readable } from "node:stream"
import { buffer } from "node:stream/consumers"
import { zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { expect, test } from "vitest"
import * as z from "zod"
import { seal, unseal } from "../../task/streams/seal.ts"
import { failureOfRun } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"

const made = z.object({ signer: z.string(), signingKeyFile: z.string() })
const backedUp = z.object({ id: z.string() })

/** What a reader of zstd passes over. */
function skippableFrame(sizeBytes: number): Buffer {
  const frame = Buffer.alloc(sizeBytes)
  frame.writeUInt32LE(0x184d2a50, 0)
  frame.writeUInt32LE(sizeBytes - 8, 4)
  return frame
}

test("of a signed backup whose dump was replaced by one of the same size, nothing runs", async () => {
  const { server, database, folder, identity, recipient, json, run } = await setScene()
  const intruder = `intruder_${database}`
  const comment = "a comment that is as long as what is put into its place".padEnd(150, ".")
  await server.psql(
    `CREATE TABLE first (n int); COMMENT ON TABLE first IS '${comment}';
     CREATE TABLE rows (n int, noise text);
     INSERT INTO rows SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 20000) AS n`,
    database,
  )
  const key = made.parse(await json(["keygen", "--signing"]))
  const args = ["backup", "--name", "orders", "--jobs", "1", "--signing-key", key.signingKeyFile]
  const { id } = backedUp.parse(await json(args))

  const path = join(folder, "backups/orders", id, "main.dump.zst.age")
  const stored = await readFile(path)
  const sealed = { name: "main", identities: [identity] }
  const archive = zstdDecompressSync(await buffer(unseal(Readable.from([stored]), sealed)))
  const statement = `COMMENT ON TABLE public.first IS '${comment}';`
  expect(archive.includes(statement)).toBe(true)
  const own = `CREATE ROLE ${intruder} SUPERUSER;`.padEnd(statement.length)
  archive.write(own, archive.indexOf(statement))
  // Smaller in the end, to leave room for padding.
  const hostile = archive
    .toString("latin1")
    .replaceAll(/[0-9a-f]{256}(?=\n)/g, (row) => (row < "8" ? row : "a".repeat(256)))
  const compressed = zstdCompressSync(Buffer.from(hostile, "latin1"))
  const unpadded = await buffer(seal(Readable.from([compressed]), [recipient]))
  let frame = skippableFrame(stored.length - unpadded.length)
  const sealedWith = () => buffer(seal(Readable.from([compressed, frame]), [recipient]))
  // Each chunk of age's has a tag of its own.
  frame = skippableFrame(frame.length - ((await sealedWith()).length - stored.length))
  const replaced = await sealedWith()
  expect(replaced.length).toBe(stored.length)
  await writeFile(path, replaced)

  const env = { PGSTOW_SIGNED_BY: key.signer }
  const restored = await run(["restore", id, "--into", `${database}_restored`], env)
  expect(failureOfRun(restored).kind).toBe("damaged")
  expect(await server.psql(`SELECT count(*) FROM pg_roles WHERE rolname = '${intruder}'`)).toBe("0")
  const left = await server.psql(
    `SELECT count(*) FROM pg_database WHERE datname LIKE '%${database}_restored%'`,
  )
  expect(left).toBe("0")
  for (const reader of [
    ["cat", id],
    ["export", id, "--out", "exported"],
  ]) {
    const ended = await run(reader, env)
    expect(failureOfRun(ended).kind).toBe("damaged")
    expect(ended.stdout).toBe("")
  }
})
