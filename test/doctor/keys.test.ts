import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption"
import { expect, onTestFinished, test } from "vitest"
import { examineKeys, type KeySettings } from "../../task/doctor/keys.ts"
import { signingKeygen } from "../../task/keys/keygen.ts"
import { testContext } from "../support/context.ts"
import { sealed } from "./patient.ts"

async function examine(settings: Partial<KeySettings> = {}, HOME = "/nonexistent") {
  return examineKeys({ ...sealed, ...settings }, testContext({ env: { HOME } }))
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-doctor-"))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const identity = await generateX25519Identity()
const recipients = [await identityToRecipient(identity)]

test("recipients whose keys are elsewhere are silent", async () => {
  expect(await examine()).toEqual([])
})

test("no recipient, and none that is valid", async () => {
  expect(await examine({ recipients: [] })).toMatchObject([{ check: "keys.recipients", severity: "error" }])
  const [wrong] = await examine({ recipients: [...recipients, "age1wrong"] })
  expect(wrong).toMatchObject({ check: "keys.recipients", severity: "error" })
  expect(wrong?.what).toMatch(/^recipient 2 .*age1wrong/)
})

test("recipients of two kinds", async () => {
  const hybrid = await identityToRecipient(await generateHybridIdentity())
  const [finding, ...others] = await examine({ recipients: [...recipients, hybrid] })
  expect(others).toEqual([])
  expect(finding).toMatchObject({ check: "keys.recipients", severity: "error" })
  expect(finding?.what).toMatch(/^classic and hybrid recipients are mixed/)
  expect(finding?.fix).toMatch(/keygen --hybrid/)
})

test("a hybrid private key is found, and its recipient is not shown at its whole length", async () => {
  const key = await generateHybridIdentity()
  const hybrid = await identityToRecipient(key)
  const [finding] = await examine({ recipients: [hybrid], identity: key })
  expect(finding).toMatchObject({ check: "keys.identity", severity: "warning" })
  expect(finding?.what).toContain(`${hybrid.slice(0, 62)}…`)
  expect(finding?.what.length).toBeLessThan(200)
})

test("a private key given as recipient is never shown", async () => {
  const findings = await examine({ recipients: [identity] })
  expect(findings).toMatchObject([{ check: "keys.recipients", severity: "error" }])
  expect(JSON.stringify(findings)).not.toContain(identity)
})

test("backups that anyone can read, and a contradiction", async () => {
  expect(await examine({ recipients: [], unencrypted: true })).toMatchObject([
    { check: "keys.unencrypted", severity: "notice" },
  ])
  expect(await examine({ unencrypted: true })).toMatchObject([
    { check: "keys.unencrypted", severity: "error", fix: "PGSTOW_UNENCRYPTED=false" },
  ])
})

test("a private key in the settings of the machine that backs up", async () => {
  const [finding, ...others] = await examine({ recipients, identity })
  expect(others).toEqual([])
  expect(finding).toMatchObject({ check: "keys.identity", severity: "warning", subject: "PGSTOW_IDENTITY" })
  expect(finding?.what).toContain(recipients[0])
  expect(JSON.stringify(finding)).not.toContain(identity)
  expect(await examine({ recipients })).toEqual([])
  // Another key opens nothing here.
  expect(await examine({ recipients, identity: await generateX25519Identity() })).toEqual([])
  expect(await examine({ recipients, identity: "/nonexistent.key" })).toEqual([])
})

test("a private key in a file where people put them, and one that others may read", async () => {
  const home = await makeFolder()
  const folder = join(home, ".config/pgstow")
  await mkdir(folder, { recursive: true })
  const file = join(folder, "orders.key")
  await writeFile(file, `# a comment\n${identity}\n`, { mode: 0o600 })
  expect(await examine({ recipients }, home)).toMatchObject([
    { check: "keys.identity", severity: "warning", subject: file },
  ])
  await chmod(file, 0o644)
  const [permissions] = await examine({ recipients, identity: file }, home)
  expect(permissions).toMatchObject({
    check: "keys.permissions",
    severity: "warning",
    fix: `chmod 600 ${file}`,
  })
  await rm(file)
  await writeFile(join(folder, "tls.key"), "-----BEGIN PRIVATE KEY-----\n")
  expect(await examine({ recipients }, home)).toEqual([])
})

test("a signing key that can't be read, and one whose backups would be refused", async () => {
  const folder = await makeFolder()
  const signingKey = join(folder, "signing")
  expect(await examine({ signingKey })).toMatchObject([{ check: "keys.signing-key", severity: "error" }])
  const { signer } = await signingKeygen({ out: signingKey }, testContext())
  expect(await examine({ signingKey, signedBy: [signer] })).toEqual([])
  const { signer: another } = await signingKeygen({ out: join(folder, "another") }, testContext())
  expect(await examine({ signingKey, signedBy: [another] })).toMatchObject([
    { check: "keys.signer", severity: "error", fix: `PGSTOW_SIGNED_BY="${another} ${signer}"` },
  ])
  await chmod(signingKey, 0o644)
  expect(await examine({ signingKey })).toMatchObject([
    { check: "keys.permissions", fix: `chmod 600 ${signingKey}` },
  ])
})
