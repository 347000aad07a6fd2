import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { messageOf } from "../../task/errors.ts"
import { keygen, signingKeygen } from "../../task/keys/keygen.ts"
import {
  generateSigningKey,
  isSignedBy,
  loadSigningKey,
  parseSigners,
  signBytes,
} from "../../task/keys/signing-key.ts"
import { needsMount, smallDisk } from "../support/disk.ts"
import { failureOf, rejectionOf } from "../support/failure.ts"

const noSecrets = () => Promise.reject(new Error("no secret was to be read"))
const unexpected = (message: string) => {
  throw new Error(`nobody was to hear of this: ${message}`)
}
const source = { readSecret: noSecrets, warn: unexpected }
const bytes = Buffer.from("what is signed")

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "pgstow-signing-"))
  onTestFinished(() => rm(made, { recursive: true }))
  return made
}

test.skipIf(needsMount)(`a full disk leaves no key file behind${needsMount}`, async () => {
  const disk = await smallDisk()
  await expect(writeFile(join(disk, "full"), Buffer.alloc(5_000_000))).rejects.toThrow("ENOSPC")
  const file = join(disk, "pgstow.key")
  for (const make of [keygen, signingKeygen]) {
    const failure = await rejectionOf(make({ out: file }, { now: () => new Date() }))
    expect(failure).toMatchObject({ kind: "usage", message: `${file} can't be written` })
    expect(await readdir(disk)).toEqual(["full"])
  }
})

test("a signing key is written for its owner alone, with its public half, and never over a file", async () => {
  const file = join(await folder(), "pgstow-signing.key")
  const now = () => new Date("2026-01-02T03:00:00Z")
  const made = await signingKeygen({ out: file }, { now })
  expect(made.signingKeyFile).toBe(file)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const text = await readFile(file, "utf8")
  expect(text).toMatch(
    /^# created: 2026-01-02T03:00:00\.000Z\n# public key: pgstow-signer-[\w-]{43}\nPGSTOW-SIGNING-KEY-[\w-]{87}\n$/,
  )
  expect(text).toContain(`# public key: ${made.signer}\n`)
  const failure = await rejectionOf(signingKeygen({ out: file }, { now }))
  expect(failure.message).toBe(`${file} exists already`)
  expect(await readFile(file, "utf8")).toBe(text)

  const key = await loadSigningKey(file, source)
  expect(key.signer).toBe(made.signer)
  expect(isSignedBy(bytes, signBytes(bytes, key), made.signer)).toBe(true)
})

test("the key itself, a secret, and a secret in JSON are taken", async () => {
  const { key, signer } = generateSigningKey()
  for (const text of [key, JSON.stringify({ signingKey: key }), `# a comment\n${key}\n`]) {
    expect((await loadSigningKey(text, source)).signer).toBe(signer)
    const readSecret = () => Promise.resolve(text)
    expect((await loadSigningKey("secretsmanager:arn", { ...source, readSecret })).signer).toBe(signer)
  }
})

test("only the very bytes, signature and key belong together", async () => {
  const [mine, other] = [generateSigningKey(), generateSigningKey()]
  const signature = signBytes(bytes, await loadSigningKey(mine.key, source))
  expect(isSignedBy(bytes, signature, mine.signer)).toBe(true)
  expect(isSignedBy(bytes, signature, other.signer)).toBe(false)
  expect(isSignedBy(Buffer.from("what is signeD"), signature, mine.signer)).toBe(false)
  for (const index of signature.replaceAll("=", "").split("").keys()) {
    const letter = signature[index] === "A" ? "B" : "A"
    const changed = signature.slice(0, index) + letter + signature.slice(index + 1)
    expect(isSignedBy(bytes, changed, mine.signer)).toBe(false)
  }
})

test.each([
  ["the public half", () => generateSigningKey().signer, /the public half was given/],
  ["a missing file", () => "/nonexistent/key", /signing key file \/nonexistent\/key can't be read/],
  ["a key that was cut", () => generateSigningKey().key.slice(0, -1), /holds no signing key of pgstow's/],
  [
    "two halves that do not belong together",
    () => generateSigningKey().key.slice(0, -43) + generateSigningKey().key.slice(-43),
    /holds a signing key whose halves do not belong together/,
  ],
  ["two keys", () => `${generateSigningKey().key}\n${generateSigningKey().key}`, /holds more than one key/],
  ["JSON without a key", () => '{"signing":"PGSTOW-SIGNING-KEY-"}', /holds no signing key$/],
])("%s is refused as a signing key, and never shown", async (_, make, message) => {
  const setting = make()
  const failure = await rejectionOf(loadSigningKey(setting, source))
  expect(failure).toMatchObject({ kind: "key", exitCode: 7 })
  expect(failure.message).toMatch(message)
  expect(failure.hint).toBeDefined()
  if (setting.includes("SIGNING-KEY-"))
    expect(`${messageOf(failure)} ${failure.hint} ${failure.stack}`).not.toContain(setting.slice(20, 40))
})

test("an identity in the place of a signing key, and the other way round, is refused", async () => {
  const file = join(await folder(), "pgstow.key")
  await writeFile(file, "AGE-SECRET-KEY-1QQQQ\n", { mode: 0o600 })
  const failure = await rejectionOf(loadSigningKey(file, source))
  expect(failure.message).toBe(`the signing key file ${file} holds no signing key of pgstow's`)
})

test("public halves are parsed, each once, and what is none is named by its number, never shown", () => {
  const [a, b] = [generateSigningKey(), generateSigningKey()]
  expect(parseSigners([a.signer, ` ${b.signer} `, a.signer])).toEqual([a.signer, b.signer])
  expect(parseSigners([])).toEqual([])
  for (const wrong of [a.key, a.signer.slice(0, -1), `${a.signer}x`, "age1qqq", ""]) {
    const failure = failureOf(() => parseSigners([b.signer, wrong]))
    expect(failure).toMatchObject({ kind: "key" })
    expect(failure.message).toMatch(/^key 2 of --signed-by \(PGSTOW_SIGNED_BY\) is /)
    expect(`${failure.message} ${failure.hint}`).not.toContain(a.key.slice(20, 40))
  }
})
