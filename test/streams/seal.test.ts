import { createHash, randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inflateSync } from "node:zlib"
import {
  armor,
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateIdentity,
  identityToRecipient,
} from "age-encryption"
import * as vectors from "cctv-age"
import * as fc from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { seal, unseal } from "../../task/streams/seal.ts"
import { bytesOf, failing, inPieces } from "../support/bytes.ts"
import { rejectionOf } from "../support/failure.ts"
import { run } from "../support/programs.ts"

const chunk = 64 * 1024
const identity = await generateIdentity()
const recipient = await identityToRecipient(identity)
const other = await generateIdentity()
const otherRecipient = await identityToRecipient(other)

const sealed = (plain: Buffer, recipients = [recipient]) => bytesOf(seal(inPieces(plain), recipients))
const opened = (bytes: Buffer, sizes?: number[], identities = [identity]) =>
  bytesOf(unseal(inPieces(bytes, sizes), { name: "main", identities }))

const folder = mkdtempSync(join(tmpdir(), "pgstow-seal-"))
const identityFile = join(folder, "identity")
writeFileSync(identityFile, `${identity}\n`)
afterAll(() => rmSync(folder, { recursive: true }))

/** Where chunks end, and just before and after. */
const sizes = [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 12345]

describe("what pgstow seals", () => {
  it.each(sizes)("%i bytes: the age-encryption library opens them", async (size) => {
    const plain = randomBytes(size)
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    expect(Buffer.from(await decrypter.decrypt(await sealed(plain))).equals(plain)).toBe(true)
  })

  it.each(sizes)("%i bytes: the stock age program opens them", async (size) => {
    const plain = randomBytes(size)
    expect(run("age", ["-d", "-i", identityFile], await sealed(plain)).equals(plain)).toBe(true)
  })

  it("opens with the identity of each of its recipients", async () => {
    const plain = randomBytes(1000)
    const bytes = await sealed(plain, [recipient, otherRecipient])
    for (const one of [identity, other]) expect(await opened(bytes, undefined, [one])).toEqual(plain)
    expect(await opened(bytes, undefined, [await generateIdentity(), other])).toEqual(plain)
  })

  it("for hybrid recipients, opens with the identity of each of them", async () => {
    const hybrids = [await generateHybridIdentity(), await generateHybridIdentity()] as const
    const plain = randomBytes(1000)
    const bytes = await sealed(plain, await Promise.all(hybrids.map(identityToRecipient)))
    for (const one of hybrids) expect(await opened(bytes, undefined, [one])).toEqual(plain)
    expect(await opened(bytes, undefined, [identity, hybrids[1]])).toEqual(plain)
    const stranger = await rejectionOf(opened(bytes, undefined, [await generateHybridIdentity()]))
    expect(stranger.message).toMatch(
      /^none of the identities given opens main, only what is for age1pq1[0-9a-z]{55}…$/,
    )
  })

  it("grows with each recipient by as much as SECURITY.md says", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    const growth = async (one: string) =>
      (await sealed(Buffer.alloc(0), [one, one])).length - (await sealed(Buffer.alloc(0), [one])).length
    expect(await growth(recipient)).toBe(98)
    expect(await growth(hybrid)).toBe(1557)
  })

  it("has the same size and opens to the same bytes however the input and the output are cut", async () => {
    const plain = randomBytes(3 * chunk + 1)
    const whole = await sealed(plain)
    const cuts = fc.array(fc.integer({ min: 1, max: chunk * 2 }), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(cuts, cuts, async (inputSizes, outputSizes) => {
        const bytes = await bytesOf(seal(inPieces(plain, inputSizes), [recipient]))
        expect(bytes.length).toBe(whole.length)
        expect((await opened(bytes, outputSizes)).equals(plain)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it("comes through when both ways are fed byte by byte", async () => {
    const plain = randomBytes(chunk + 3)
    const bytes = await bytesOf(seal(inPieces(plain, [1]), [recipient]))
    expect((await opened(bytes, [1])).equals(plain)).toBe(true)
  })

  it("never comes out the same twice", async () => {
    const plain = Buffer.from("the same")
    expect((await sealed(plain)).equals(await sealed(plain))).toBe(false)
  })

  it("fails when its source fails, without a last chunk", async () => {
    const source = failing([randomBytes(3 * chunk)], new Error("the disk is on fire"))
    const parts: Buffer[] = []
    const reading = (async () => {
      for await (const part of seal(source, [recipient])) parts.push(part)
    })()
    await expect(reading).rejects.toThrow("the disk is on fire")
    await expect(opened(Buffer.concat(parts))).rejects.toThrow("main is cut short: its last chunk is missing")
  })

  it("ends its source when nobody reads on", async () => {
    let ended = false
    async function* source() {
      try {
        for (;;) yield randomBytes(chunk)
      } finally {
        ended = true
      }
    }
    for await (const _ of seal(source(), [recipient])) break
    const reading = seal(source(), [recipient])
    for (let turn = 0; turn < 3; turn++) await reading.next()
    await reading.return()
    expect(ended).toBe(true)
  })
})

describe("what others sealed", () => {
  it.each(sizes)("%i bytes by the age-encryption library open", async (size) => {
    const plain = randomBytes(size)
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    expect((await opened(Buffer.from(await encrypter.encrypt(plain)))).equals(plain)).toBe(true)
  })

  it.each(sizes)("%i bytes by the stock age program open", async (size) => {
    const plain = randomBytes(size)
    expect((await opened(run("age", ["-r", recipient], plain))).equals(plain)).toBe(true)
  })
})

describe("what does not open", async () => {
  const plain = randomBytes(2 * chunk + 100)
  const whole = await sealed(plain)
  const headerBytes = whole.length - plain.length - 3 * 16 - 16
  const payloadStart = headerBytes + 16
  /** The place of a chunk's first byte. */
  const startOf = (index: number) => payloadStart + index * (chunk + 16)
  const flipped = (at: number, bytes = whole) => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const refusal = async (bytes: Buffer, identities?: string[]) => {
    const error = await rejectionOf(opened(bytes, undefined, identities))
    expect(error.hint).toMatch(/^[A-Z].*\.$/)
    return error
  }
  const damaged = (message: string) => ({ kind: "damaged", message })

  it("a file that is empty", async () => {
    expect(await refusal(Buffer.alloc(0))).toMatchObject(damaged("main is empty"))
  })

  it.each([
    ["random bytes", randomBytes(100_000)],
    ["text", Buffer.from("-- PostgreSQL database dump\n\n---\nSELECT 1;\n")],
    ["a later version of age", Buffer.concat([Buffer.from("age-encryption.org/v2"), whole.subarray(21)])],
  ])("%s", async (_, bytes) => {
    expect(await refusal(bytes)).toMatchObject(damaged("main is not an age file (version 1)"))
  })

  it("an armored file", async () => {
    expect(await refusal(Buffer.from(armor.encode(whole)))).toMatchObject(
      damaged("main is an armored age file"),
    )
  })

  it("a file for a passphrase", async () => {
    const encrypter = new Encrypter()
    encrypter.setScryptWorkFactor(4)
    encrypter.setPassphrase("correct horse")
    expect(await refusal(Buffer.from(await encrypter.encrypt("text")))).toMatchObject({
      kind: "key",
      message: "main was encrypted with a passphrase, not for a recipient",
    })
  })

  it("a file for others, whose names it gives where it knows them", async () => {
    const strangers = { name: "main", identities: [other] }
    await expect(bytesOf(unseal(inPieces(whole), strangers))).rejects.toMatchObject({
      kind: "key",
      message: `none of the identities given opens main, only what is for ${otherRecipient}`,
      hint: "Give --identity the key of one of the recipients it was encrypted for.",
    })
    const error = await rejectionOf(
      bytesOf(unseal(inPieces(whole), { ...strangers, recipients: [recipient] })),
    )
    expect(error.hint).toContain(recipient)
    expect(`${error.hint} ${error.stack}`).not.toContain("AGE-SECRET-KEY")
  })

  it("a header with a flipped bit", async () => {
    const atMac = headerBytes - 5
    expect(await refusal(flipped(atMac))).toMatchObject(damaged("main is damaged in its header"))
  })

  it("a header cut short, at every byte", async () => {
    for (let end = "age-encryption.org/v1\n".length; end < payloadStart; end++)
      expect(await refusal(whole.subarray(0, end))).toMatchObject(damaged("main is cut short in its header"))
  })

  it("a header without an end", async () => {
    const endless = Buffer.concat([whole.subarray(0, 22), Buffer.alloc(2_000_000, "a")])
    expect(await refusal(endless)).toMatchObject(damaged("main is damaged in its header"))
  })

  it("a flipped bit, naming its chunk", async () => {
    expect(await refusal(flipped(startOf(0)))).toMatchObject(
      damaged("main is damaged in chunk 1 (of 64 KiB each)"),
    )
    expect(await refusal(flipped(startOf(2) - 1))).toMatchObject(
      damaged("main is damaged in chunk 2 (of 64 KiB each)"),
    )
  })

  const inLast = "main is damaged, cut short or followed by other bytes in its last chunk, number 3"

  it("a flipped bit in the last chunk", async () => {
    expect(await refusal(flipped(whole.length - 1))).toMatchObject(damaged(inLast))
  })

  it("a file cut short within a chunk", async () => {
    for (const end of [startOf(2) + 1, startOf(2) + 16, whole.length - 1])
      expect(await refusal(whole.subarray(0, end))).toMatchObject(damaged(inLast))
  })

  it("a file whose last chunk is missing", async () => {
    for (const end of [payloadStart, startOf(1), startOf(2)])
      expect(await refusal(whole.subarray(0, end))).toMatchObject(
        damaged("main is cut short: its last chunk is missing"),
      )
  })

  it("bytes after the last chunk", async () => {
    expect(await refusal(Buffer.concat([whole, Buffer.from("x")]))).toMatchObject(damaged(inLast))
    const full = await sealed(plain.subarray(0, chunk))
    expect(await refusal(Buffer.concat([full, Buffer.from("x")]))).toMatchObject(
      damaged("main goes on after its last chunk"),
    )
  })

  it("chunks in another order, or one left out", async () => {
    const [first, second] = [whole.subarray(startOf(0), startOf(1)), whole.subarray(startOf(1), startOf(2))]
    const start = whole.subarray(0, payloadStart)
    const last = whole.subarray(startOf(2))
    for (const chunks of [
      [second, first, last],
      [second, last],
      [first, first, last],
    ])
      expect(await refusal(Buffer.concat([start, ...chunks]))).toMatchObject({ kind: "damaged" })
  })

  it("an empty last chunk after others", async () => {
    const file = vectors.stream_last_chunk_empty
    expect(file).toBeDefined()
    const { body, identities } = vectorOf(file ?? new Uint8Array())
    expect(await refusal(body, identities)).toMatchObject(
      damaged("main ends with an empty chunk, which age never writes"),
    )
  })

  it("a flipped bit anywhere, and gives out no byte of the chunk that holds it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length * 8 - 1 }), async (bit) => {
        const at = Math.floor(bit / 8)
        const bytes = Buffer.from(whole)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8))
        const out: Buffer[] = []
        const reading = (async () => {
          for await (const part of unseal(inPieces(bytes), { name: "main", identities: [identity] }))
            out.push(part)
        })()
        await expect(reading).rejects.toMatchObject({ name: "PgstowError" })
        const good = Math.max(0, Math.floor((at - payloadStart) / (chunk + 16))) * chunk
        expect(Buffer.concat(out).equals(plain.subarray(0, good))).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it("ends its source when it fails midway", async () => {
    let ended = false
    async function* source() {
      try {
        yield flipped(startOf(0))
        yield whole
      } finally {
        ended = true
      }
    }
    await expect(bytesOf(unseal(source(), { name: "main", identities: [identity] }))).rejects.toThrow(
      "damaged",
    )
    expect(ended).toBe(true)
  })
})

describe("the vectors of C2SP (cctv-age)", () => {
  const all = Object.entries(vectors).map(([name, file]) => ({ name, ...vectorOf(file) }))
  const armored = all.filter((vector) => vector.armored)
  const passphrase = all.filter((vector) => vector.passphrase && !vector.armored)
  const others = all.filter((vector) => !vector.passphrase && !vector.armored)

  const outcome = async ({ name, body, identities }: (typeof all)[number]) => {
    const parts: Buffer[] = []
    const reading = (async () => {
      for await (const part of unseal(inPieces(body), { name, identities })) parts.push(part)
    })()
    const error = await reading.then(
      () => undefined,
      () => rejectionOf(reading),
    )
    return { plain: Buffer.concat(parts), error }
  }

  it("are all here", () => {
    expect([armored.length, passphrase.length, others.length]).toEqual([33, 25, 85])
    const hybrid = others.filter(({ identities }) => identities.some((one) => one.includes("-PQ-")))
    expect(hybrid.length).toBe(18)
  })

  it.each(armored)("$name: armor is refused", async (vector) => {
    const { plain, error } = await outcome(vector)
    expect(error?.kind).toBe("damaged")
    expect(error?.message).toMatch(/an armored|not an age file/)
    expect(plain.length).toBe(0)
  })

  it.each(passphrase)("$name: a passphrase is refused", async (vector) => {
    const { plain, error } = await outcome(vector)
    expect(error).toMatchObject(
      {
        // Its stanza is not read as one for a passphrase.
        scrypt_uppercase: { kind: "key", message: "none of the identities given opens scrypt_uppercase" },
        // Its header can't be read at all.
        scrypt_not_canonical_body: { kind: "damaged" },
      }[vector.name] ?? {
        kind: "key",
        message: `${vector.name} was encrypted with a passphrase, not for a recipient`,
      },
    )
    expect(plain.length).toBe(0)
  })

  /** The chunk that shows the damage opens, as the last or as another. It is held back here, unlike in age. */
  const heldBack = [
    "stream_no_final_full",
    "stream_no_final_two_chunks_full",
    "stream_trailing_garbage_long",
    "stream_trailing_garbage_short",
    "stream_two_final_chunks",
    "stream_two_final_chunks_full",
    "stream_two_final_chunks_second",
  ]
  const messages: Record<string, RegExp | undefined> = {
    success: undefined,
    "no match": /^none of the identities given opens/,
    "HMAC failure": /is damaged in its header$/,
    "header failure": /is damaged in its header$|is cut short in its header$|is not an age file|is empty$/,
    "payload failure": /last chunk|empty chunk/,
  }

  it.each(others)("$name: $expected", async (vector) => {
    const { plain, error } = await outcome(vector)
    expect(Object.keys(messages)).toContain(vector.expected)
    const message = messages[vector.expected]
    if (message === undefined) expect(error).toBeUndefined()
    else expect(error?.message).toMatch(message)
    if (vector.payload === undefined) expect(plain.length).toBe(0)
    else if (heldBack.includes(vector.name)) expect(plain.length % chunk).toBe(0)
    else expect(createHash("sha256").update(plain).digest("hex")).toBe(vector.payload)
  })
})

/** A vector's text fields, and the age file that follows them. */
function vectorOf(file: Uint8Array) {
  const bytes = Buffer.from(file)
  const split = bytes.indexOf("\n\n")
  const fields = bytes
    .toString("latin1", 0, split)
    .split("\n")
    .map((line) => line.split(": "))
  const valuesOf = (key: string) => fields.filter(([name]) => name === key).map(([, value]) => value ?? "")
  const body = bytes.subarray(split + 2)
  return {
    expected: valuesOf("expect")[0] ?? "",
    payload: valuesOf("payload")[0],
    identities: valuesOf("identity"),
    passphrase: valuesOf("passphrase").length > 0,
    armored: valuesOf("armored").length > 0,
    body: valuesOf("compressed").length > 0 ? inflateSync(body) : body,
  }
}
