import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { isSalted, openSalted, passPhrase } from "../../task/legacy/openssl.ts"
import { bytesOf, inPieces } from "../support/bytes.ts"
import { run } from "../support/programs.ts"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-openssl-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

const plain = Buffer.from("select 1;\n".repeat(20_000))

test("what the stock openssl encrypts opens, in chunks of any size", async () => {
  const sealed = encrypt(plain, Buffer.from("a pass phrase\n"))
  expect(isSalted(sealed)).toBe(true)
  for (const chunkBytes of [1, 5, 1000, 1_000_000])
    expect(await open(sealed, "a pass phrase", chunkBytes)).toEqual(plain)
})

test.each([
  ["ends in a newline", Buffer.from("secret\n")],
  ["does not", Buffer.from("secret")],
  ["has more lines", Buffer.from("secret\nand more\n")],
  ["ends in CR LF", Buffer.from("secret\r\n")],
  ["has a NUL in it", Buffer.from("sec\0ret\n")],
  ["is not text", Buffer.from([0xff, 0x80, 0xc3, 0x28, 0x0a])],
  ["is longer than openssl reads", Buffer.alloc(3000, "x")],
])("a key file that %s gives the pass phrase that openssl took", async (_, keyFile) => {
  const [opened] = await Array.fromAsync(
    openSalted(inPieces(encrypt(plain, keyFile), [1e6]), passPhrase(keyFile)),
  )
  expect(opened?.subarray(0, 10).toString()).toBe("select 1;\n")
})

test("a wrong key, a file cut short, and a changed end are noticed", async () => {
  const sealed = encrypt(plain, Buffer.from("right"))
  const refused = "the key is wrong, or the file was altered or cut short"
  // One wrong key in 256 ends in what looks like padding; nothing but what comes out of it tells then.
  const wrong = await Promise.allSettled(
    Array.from({ length: 8 }, (_, number) => open(sealed, `wrong ${number}`, 100_000)),
  )
  expect(wrong.some(({ status }) => status === "rejected")).toBe(true)
  for (const result of wrong)
    if (result.status === "rejected") expect(String(result.reason)).toContain(refused)
    else expect(result.value).not.toEqual(plain)

  await expect(open(sealed.subarray(0, -3), "right", 100_000)).rejects.toThrow(refused)
  await expect(open(sealed.subarray(0, 12), "right", 100_000)).rejects.toThrow("cut short")
})

function encrypt(bytes: Buffer, keyFile: Buffer): Buffer {
  const [input, key] = [join(folder, "plain"), join(folder, "key")]
  writeFileSync(input, bytes)
  writeFileSync(key, keyFile)
  const files = ["-pass", `file:${key}`, "-in", input]
  return run("openssl", ["enc", "-aes-256-cbc", "-salt", "-pbkdf2", ...files])
}

async function open(sealed: Buffer, phrase: string, chunkBytes: number): Promise<Buffer> {
  return bytesOf(openSalted(inPieces(sealed, [chunkBytes]), passPhrase(Buffer.from(phrase))))
}
