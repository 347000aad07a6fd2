import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  copyFileSync,
  createWriteStream,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { createGzip, gzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { fernetKey } from "../../task/legacy/fernet.ts"
import { type LegacyKeys, openLegacy } from "../../task/legacy/open-legacy.ts"
import { recognise } from "../../task/legacy/recognise.ts"
import { bytesOf } from "../support/bytes.ts"
import { sample, samples } from "./samples.ts"
import { sealFernet } from "./seal-fernet.ts"

const [emiti, , plain, salted] = samples
const dump = Buffer.from(
  "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n",
)

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-legacy-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

test.each(samples)("$name opens to a whole dump with every row", async ({ name, keys, rows }) => {
  const sql = (await open(sample(name), keys)).toString()
  for (const [table, count] of Object.entries(rows)) {
    const [, copied = ""] = sql.split(`COPY public.${table} (`)
    expect(copied.split("\n\\.\n")[0]?.split("\n").slice(1)).toHaveLength(count)
  }
})

describe("the wrong key, or none", () => {
  test.each([
    [emiti, {}, "there is no key"],
    [salted, {}, "there is no key"],
    [emiti, { emiti: "something else" }, "the key is wrong, or the file was altered"],
    [salted, { sentinel: Buffer.from("something else") }, "the key is wrong, or the file is damaged"],
  ])("%o with %o", async (file, keys, message) => {
    await expect(open(sample(file?.name ?? ""), keys)).rejects.toThrow(message)
  })
})

describe("a damaged file", () => {
  test("that its .sha256 tells of gives nothing out", async () => {
    const path = copy(plain?.name ?? "")
    const beside = `${path}.sha256`
    copyFileSync(`${sample(plain?.name ?? "")}.sha256`, beside)
    await expect(open(path, {})).resolves.toBeDefined()
    flip(path, 10_000)
    await expectNothing(path, {}, "is not what its .sha256 says")
    writeFileSync(beside, "0000  another\n")
    await expectNothing(path, {}, "holds no SHA-256 of")
    rmSync(beside)
  })

  test("of Emiti's gives nothing out", async () => {
    const path = copy(emiti?.name ?? "")
    flip(path, 200_000)
    await expectNothing(path, emiti?.keys ?? {}, /altered/)
  })

  test.each([
    ["gzip", plain, 10_000],
    ["openssl, in its middle", salted, 10_000],
    ["openssl, in its last block", salted, -3],
  ])("without a .sha256 fails before its end: %s", async (_, file, at) => {
    const path = copy(file?.name ?? "")
    flip(path, at)
    await expect(open(path, file?.keys ?? {})).rejects.toThrow(/damaged|altered/)
  })
})

describe("what is inside must be a dump of pg_dump, to its closing line:", () => {
  test.each([
    ["plain SQL", dump],
    ["gzip", gzipSync(dump)],
    ["a dump with \\unrestrict behind it", Buffer.concat([dump, Buffer.from("\\unrestrict aB3\n\n")])],
    ["a dump made on Windows", Buffer.from(dump.toString().replaceAll("\n", "\r\n"))],
  ])("%s opens", async (_, bytes) => {
    expect((await open(write(bytes), {})).length).toBeGreaterThanOrEqual(dump.length)
  })

  test.each([
    ["a dump that was stopped midway", gzipSync(dump.subarray(0, 60)), "ends before the dump in it does"],
    ["a dump with something behind it", Buffer.concat([dump, Buffer.from("DROP TABLE x;\n")]), "ends before"],
    [
      "another archive",
      gzipSync("PGDMP\x01"),
      "holds no plain dump of pg_dump; what is in it is pg_dump's custom",
    ],
    ["anything else", gzipSync("hello"), "what is in it is something unknown"],
  ])("%s does not", async (_, bytes, message) => {
    await expect(open(write(bytes), {})).rejects.toThrow(message)
  })
})

test("a file of 400 MB opens in constant memory", async () => {
  const path = join(folder, "emiti_metrics_20240101_000000.sql.gz.enc")
  const rows = randomBytes(1024 * 1024)
  const big = function* () {
    yield dump.subarray(0, 33)
    for (let megabyte = 0; megabyte < 300; megabyte += 1) yield rows
    yield dump.subarray(33)
  }
  const seal = (zipped: AsyncIterable<Buffer>) => sealFernet(zipped, fernetKey("a key"))
  await pipeline(big, createGzip({ level: 0 }), seal, createWriteStream(path))
  expect(statSync(path).size).toBeGreaterThan(400e6)

  const program = fileURLToPath(new URL("open-measured.ts", import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, path, "a key"])
  const [openedBytes, peakBytes] = stdout.split(" ").map(Number)
  expect(openedBytes).toBe(300 * 1024 * 1024 + dump.length)
  expect(peakBytes).toBeLessThan(200e6)
})

async function open(path: string, keys: LegacyKeys): Promise<Buffer> {
  return bytesOf(openLegacy(await recognise(path), keys))
}

async function expectNothing(path: string, keys: LegacyKeys, message: string | RegExp): Promise<void> {
  let givenBytes = 0
  const reading = async () => {
    for await (const chunk of openLegacy(await recognise(path), keys)) givenBytes += chunk.length
  }
  await expect(reading()).rejects.toThrow(message)
  expect(givenBytes).toBe(0)
}

function copy(name: string): string {
  const path = join(folder, name)
  copyFileSync(sample(name), path)
  return path
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at] = (bytes.at(at) ?? 0) ^ 1
  writeFileSync(path, bytes)
}

function write(bytes: Buffer): string {
  const path = join(folder, "dump")
  writeFileSync(path, bytes)
  return path
}
