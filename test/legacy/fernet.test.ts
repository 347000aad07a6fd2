import { randomBytes } from "node:crypto"
import { createReadStream, readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { beforeAll, describe, expect, test } from "vitest"
import { type FernetKey, fernetKey, fernetTime, openFernet } from "../../task/legacy/fernet.ts"
import { bytesOf, inPieces } from "../support/bytes.ts"
import { sealFernet } from "./seal-fernet.ts"

const fixtures = new URL("../fixtures/legacy/", import.meta.url)
const key = fernetKey(readFileSync(new URL("emiti.key", fixtures), "utf8"))
const sample = new URL("emiti_metrics_20240115_030000.sql.gz.enc", fixtures)

// The vectors of https://github.com/fernet/spec: generate.json, verify.json and invalid.json.
const specKey = fernetKey("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
const specToken =
  "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

describe("the vectors of the Fernet specification", () => {
  test("the token opens, and tells its time", async () => {
    expect(await open(specToken, specKey)).toBe("hello")
    expect(fernetTime(Buffer.from(specToken))).toEqual(new Date("1985-10-26T08:20:00Z"))
  })

  test.each([
    [
      "an incorrect HMAC",
      "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
      "HMAC differs",
    ],
    ["a token that is too short", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", "cut short"],
    [
      "no base64",
      "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
      "not a Fernet token",
    ],
    [
      "a payload that is no whole number of blocks",
      "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
      "cut short",
    ],
    [
      "a signed payload with wrong padding",
      "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
      "not padded",
    ],
  ])("%s is refused", async (_, token, message) => {
    await expect(open(token, specKey)).rejects.toThrow(message)
  })
})

test("a file of Emiti opens", async () => {
  const opened = await bytesOf(openFernet(() => createReadStream(sample), key))
  expect(gunzipSync(opened).subarray(0, 31).toString()).toBe("--\n-- PostgreSQL database dump\n")
})

test("a token opens in chunks of any size", async () => {
  const plain = randomBytes(5000)
  const token = Buffer.from(await seal(plain))
  for (const chunkBytes of [1, 7, 33, 4096])
    expect(await bytesOf(openFernet(() => inPieces(token, [chunkBytes]), key))).toEqual(plain)
})

test("padding may be missing, and a newline may follow", async () => {
  for (const end of ["", "=", "==", "\n", "==\r\n"])
    expect(await open(`${specToken.replace(/=+$/, "")}${end}`, specKey)).toBe("hello")
})

test("a text that is no Fernet key is hashed, the newline at its end left out", () => {
  expect(fernetKey("correct horse\n")).toEqual(fernetKey("correct horse"))
  expect(fernetKey("correct horse")).not.toEqual(fernetKey("correct house"))
  const text = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4"
  expect(fernetKey(text), "Python refuses a key without padding").not.toEqual(fernetKey(`${text}=`))
})

describe("not a byte is given out of", () => {
  let token: string
  beforeAll(async () => {
    token = await seal(randomBytes(300_000))
  })

  test("a token under another key", async () => {
    await expectNothing(token, fernetKey("another"), "the key is wrong, or the file was altered")
  })

  test.each([20, 60, 200_000])("a token with one digit changed (at %i)", async (at) => {
    const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`
    await expectNothing(changed, key, "the key is wrong, or the file was altered")
  })

  test("a token that is cut short", async () => {
    await expectNothing(token.slice(0, 100_001), key, "the Fernet token is cut short")
    await expectNothing(token.slice(0, 100), key, "the Fernet token is cut short")
  })

  test("a token with something else in the middle or behind it", async () => {
    await expectNothing(
      `${token.slice(0, 1000)}!${token.slice(1001)}`,
      key,
      "altered: no base64 at byte 1000",
    )
    await expectNothing(`${token}\nmore`, key, "altered: no base64")
  })

  test.each([
    "",
    "-- SQL",
    "AAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ",
    "gP________8AAQIDBAUGBwgJCgsMDQ4P",
  ])("what is no token at all: %j", async (text) => {
    await expectNothing(text, key, "not a Fernet token")
    expect(fernetTime(Buffer.from(text))).toBeUndefined()
  })
})

test("a file that changes between the two readings fails, however well its first reading went", async () => {
  const [first, second] = [await seal(Buffer.alloc(100_000, "a")), await seal(Buffer.alloc(100_000, "b"))]
  const changed = `${second.slice(0, 50_000)}${second[50_000] === "A" ? "B" : "A"}${second.slice(50_001)}`
  const readings = [first, changed]
  const opening = bytesOf(openFernet(() => inPieces(Buffer.from(readings.shift() ?? ""), [4096]), key))
  await expect(opening).rejects.toThrow("HMAC differs")
})

async function open(token: string, with_: FernetKey): Promise<string> {
  return (await bytesOf(openFernet(() => inPieces(Buffer.from(token), [16]), with_))).toString()
}

async function expectNothing(token: string, with_: FernetKey, message: string): Promise<void> {
  let givenBytes = 0
  const reading = async () => {
    for await (const chunk of openFernet(() => inPieces(Buffer.from(token), [4096]), with_))
      givenBytes += chunk.length
  }
  await expect(reading()).rejects.toThrow(message)
  expect(givenBytes).toBe(0)
}

async function seal(plain: Buffer): Promise<string> {
  return (await Array.fromAsync(sealFernet([plain], key))).join("")
}
