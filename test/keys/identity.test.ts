import { appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { messageOf } from "../../task/errors.ts"
import { readAwsSecret } from "../../task/keys/aws-secret.ts"
import { generateIdentity, loadIdentities, writeIdentityFile } from "../../task/keys/identity.ts"
import { rejectionOf } from "../support/failure.ts"
import { run } from "../support/programs.ts"

const noSecrets = () => Promise.reject(new Error("no secret was to be read"))

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "pgstow-identity-"))
  onTestFinished(() => rm(made, { recursive: true }))
  return made
}

async function load(setting: string, readSecret: (id: string) => Promise<string> = noSecrets) {
  const warnings: string[] = []
  const identities = await loadIdentities(setting, { readSecret, warn: (message) => warnings.push(message) })
  return { identities, warnings }
}

test("an identity file is what age-keygen would have written, for its owner alone", async () => {
  const file = join(await folder(), "pgstow.key")
  const key = await generateIdentity()
  await writeIdentityFile(file, key, new Date("2026-01-02T03:00:00Z"))
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(run("age-keygen", ["-y", file]).toString().trim()).toBe(key.recipient)
  expect(await load(file)).toEqual({ identities: [key.identity], warnings: [] })
})

test("a hybrid identity is written and read the same way", async () => {
  const file = join(await folder(), "pgstow.key")
  const key = await generateIdentity("hybrid")
  expect(key.identity).toMatch(/^AGE-SECRET-KEY-PQ-1[0-9A-Z]+$/)
  expect(key.recipient).toMatch(/^age1pq1[0-9a-z]{1952}$/)
  await writeIdentityFile(file, key, new Date("2026-01-02T03:00:00Z"))
  const classic = await generateIdentity()
  await appendFile(file, `${classic.identity}\n`)
  expect(await load(file)).toEqual({ identities: [key.identity, classic.identity], warnings: [] })
  expect((await load(key.identity)).identities).toEqual([key.identity])
  expect((await load(JSON.stringify({ identity: key.identity }))).identities).toEqual([key.identity])
  const damaged = await rejectionOf(load(key.identity.slice(0, -1)))
  expect(damaged.message).toBe("the identity given holds no identity that age knows (key 1)")
  expect(`${damaged.stack}`).not.toContain(key.identity.slice(20, 40))
})

test("an identity file is never written over another", async () => {
  const file = join(await folder(), "pgstow.key")
  await writeFile(file, "precious")
  const failure = await rejectionOf(writeIdentityFile(file, await generateIdentity(), new Date()))
  expect(failure.message).toBe(`${file} exists already`)
  expect(await readFile(file, "utf8")).toBe("precious")
})

test("several identities, comments and empty lines may share a file", async () => {
  const file = join(await folder(), "keys")
  const [a, b] = [await generateIdentity(), await generateIdentity()]
  await writeFile(file, `# the first\r\n${a.identity}\r\n\n# the second\n${b.identity}`, { mode: 0o600 })
  expect((await load(file)).identities).toEqual([a.identity, b.identity])
})

test("a file that others can read is used, with a warning", async () => {
  const file = join(await folder(), "pgstow.key")
  await writeIdentityFile(file, await generateIdentity(), new Date())
  await chmod(file, 0o644)
  expect((await load(file)).warnings).toEqual([
    `the identity file ${file} can be read by others: chmod 600 ${file}`,
  ])
})

test("the identity itself may be the setting", async () => {
  const { identity } = await generateIdentity()
  expect((await load(identity)).identities).toEqual([identity])
  expect((await load(`# created: today\n# public key: age1\n${identity}\n`)).identities).toEqual([identity])
  expect((await load(JSON.stringify({ identity }))).identities).toEqual([identity])
})

test("a secret may be the text of an identity, or JSON with one", async () => {
  const { identity } = await generateIdentity()
  const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pgstow-a1b2c3"
  for (const text of [identity, JSON.stringify({ identity })]) {
    const asked: string[] = []
    const loaded = await load(`secretsmanager:${arn}`, async (id) => {
      asked.push(id)
      return text
    })
    expect(loaded.identities).toEqual([identity])
    expect(asked).toEqual([arn])
  }
})

test.each([
  ["a recipient", "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq", /a recipient was given/],
  ["a missing file", "/nonexistent/pgstow.key", /identity file \/nonexistent\/pgstow.key can't be read/],
  [
    "a damaged identity",
    "AGE-SECRET-KEY-1QQQQ",
    /the identity given holds no identity that age knows \(key 1\)/,
  ],
  ["JSON without an identity", 'secretsmanager:{"key":1}', /holds no identity/],
  ["half of a JSON", 'secretsmanager:{"key', /holds no identity/],
])("%s is refused", async (_, setting, message) => {
  const failure = await rejectionOf(load(setting, async (id) => id))
  expect(failure.kind).toBe("key")
  expect(failure.message).toMatch(message)
  expect(failure.hint).toBeDefined()
})

test.each([
  ["is empty", "", /holds no identity/],
  ["has comments only", "# nothing\n", /holds no identity/],
  ["has a recipient", "age1qyqszqgpqyqszqgp\n", /holds a recipient, not an identity \(key 1\)/],
  [
    "has an SSH key",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    /holds an SSH key, a kind that pgstow can't open backups with/,
  ],
  [
    "has an identity of a plugin",
    "# serial: 1\nAGE-PLUGIN-YUBIKEY-1QPZRY9X8GF2TVDW0S3JN\n",
    /holds an identity of an age plugin, a kind that pgstow can't open backups with/,
  ],
  ["is encrypted", "age-encryption.org/v1\n-> scrypt x 18\n", /is itself encrypted with age/],
])("an identity file that %s is refused", async (_, text, message) => {
  const file = join(await folder(), "pgstow.key")
  await writeFile(file, text, { mode: 0o600 })
  const failure = await rejectionOf(load(file))
  expect(failure.kind).toBe("key")
  expect(failure.message).toMatch(message)
})

test("a failure never shows a key, however badly it was pasted", async () => {
  const { identity } = await generateIdentity()
  const damaged = `${identity.slice(0, -1)}${identity.endsWith("Q") ? "P" : "Q"}`
  for (const setting of [damaged, `"${identity}"`, identity.slice(2), JSON.stringify({ key: identity })]) {
    const failure = await rejectionOf(load(setting))
    expect(failure.kind).toBe("key")
    expect(`${messageOf(failure)} ${failure.hint} ${failure.stack}`).not.toContain(identity.slice(20, 40))
  }
})

test("a secret that can't be read says which, and what to check", async () => {
  process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = "http://127.0.0.1:9"
  process.env.AWS_ACCESS_KEY_ID = "someone"
  process.env.AWS_SECRET_ACCESS_KEY = "something"
  process.env.AWS_MAX_ATTEMPTS = "1"
  onTestFinished(() => {
    for (const name of ["ENDPOINT_URL_SECRETS_MANAGER", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "MAX_ATTEMPTS"])
      delete process.env[`AWS_${name}`]
  })
  const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:pgstow-a1b2c3"
  const failure = await rejectionOf(readAwsSecret(arn))
  expect(failure.kind).toBe("key")
  expect(failure.message).toContain(`the secret ${arn} can't be read: `)
})
