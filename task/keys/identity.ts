import { readFile, stat, writeFile } from "node:fs/promises"
import { Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption"
import * as z from "zod"
import { codeOf, messageOf, PgstowError } from "../errors.ts"

/** Fetches a secret's text by its ARN or name. */
export type ReadSecret = (id: string) => Promise<string>

const secretPrefix = "secretsmanager:"
const keyPattern = /^AGE-SECRET-KEY-[0-9A-Z-]+$/

/**
 * The identities of a setting: age's secret keys, one a line, with comments, as `age-keygen` writes them.
 *
 * The setting is a file, `secretsmanager:` and a secret's ARN, or the identity itself; a secret, like the setting,
 * may be JSON with a field "identity". Throws a PgstowError of kind "key" that says what is wrong and never holds a key.
 */
export async function loadIdentities(
  setting: string,
  { readSecret, warn }: { readonly readSecret: ReadSecret; readonly warn: (message: string) => void },
): Promise<string[]> {
  // Wherever it holds a key it is no path, which a message would repeat.
  if (/SECRET-KEY-/i.test(setting)) return identitiesIn(identityField(setting), "the identity given")
  if (setting.startsWith(secretPrefix)) {
    const id = setting.slice(secretPrefix.length)
    return identitiesIn(identityField(await readSecret(id)), `the secret ${id}`)
  }
  if (setting.startsWith("age1"))
    throw new PgstowError("key", "a recipient was given where an identity is needed", { hint: identityHint })
  return identitiesIn(await readIdentityFile(setting, warn), `the identity file ${setting}`)
}

const identityHint = "An identity begins with AGE-SECRET-KEY-; `pgstow keygen` writes it into a file."

async function readIdentityFile(file: string, warn: (message: string) => void): Promise<string> {
  try {
    const text = await readFile(file, "utf8")
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) warn(`the identity file ${file} can be read by others: chmod 600 ${file}`)
    return text
  } catch (cause) {
    throw new PgstowError("key", `the identity file ${file} can't be read`, {
      cause,
      hint: "Give --identity (PGSTOW_IDENTITY) the file that `pgstow keygen` or `age-keygen` wrote.",
    })
  }
}

function identityField(text: string): string {
  if (!text.trimStart().startsWith("{")) return text
  const field = z.object({ identity: z.string() }).safeParse(jsonOf(text))
  return field.success ? field.data.identity : ""
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function identitiesIn(text: string, where: string): string[] {
  if (/^age-encryption\.org\/|^-----BEGIN AGE ENCRYPTED FILE-----/.test(text))
    throw new PgstowError("key", `${where} is itself encrypted with age`, {
      hint: "Decrypt it with `age -d` first, and give the result.",
    })
  const keys = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
  if (keys.length === 0) throw new PgstowError("key", `${where} holds no identity`, { hint: identityHint })
  for (const [index, key] of keys.entries()) {
    if (!keyPattern.test(key) || !isIdentity(key)) {
      const kind = key.startsWith("age1") ? "a recipient, not an identity" : "no identity that age knows"
      throw new PgstowError("key", `${where} holds ${kind} (key ${index + 1})`, { hint: identityHint })
    }
  }
  return keys
}

function isIdentity(key: string): boolean {
  try {
    new Decrypter().addIdentity(key)
    return true
  } catch {
    return false
  }
}

/** A new X25519 identity, and the recipient that belongs to it. */
export async function generateIdentity(): Promise<{ identity: string; recipient: string }> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** Writes an identity as `age-keygen` does, for its owner's eyes only. Never over a file that is there. */
export async function writeIdentityFile(
  file: string,
  { identity, recipient }: { readonly identity: string; readonly recipient: string },
  now: Date,
): Promise<void> {
  const text = `# created: ${now.toISOString()}\n# public key: ${recipient}\n${identity}\n`
  try {
    await writeFile(file, text, { mode: 0o600, flag: "wx", flush: true })
  } catch (cause) {
    const exists = codeOf(cause) === "EEXIST"
    throw new PgstowError("usage", exists ? `${file} exists already` : `${file} can't be written`, {
      cause: exists ? undefined : cause,
      hint: exists
        ? "Give --out another file: an identity that is lost takes its backups with it."
        : "Give --out a file in a folder that exists and that you may write to.",
    })
  }
}

/** Reads secrets from AWS Secrets Manager, with the SDK's usual credentials; the region is the ARN's. */
export const readAwsSecret: ReadSecret = async (id) => {
  const { GetSecretValueCommand, SecretsManagerClient } = await import("@aws-sdk/client-secrets-manager")
  const region = /^arn:[^:]*:secretsmanager:([^:]+):/.exec(id)?.[1]
  const client = new SecretsManagerClient(region === undefined ? {} : { region })
  try {
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: id }))
    if (SecretString === undefined) throw new Error("it holds bytes, not text")
    return SecretString
  } catch (cause) {
    throw new PgstowError("key", `the secret ${id} can't be read: ${messageOf(cause)}`, {
      hint: "Check the ARN, the region, and that these credentials may call secretsmanager:GetSecretValue on it (and kms:Decrypt on its key).",
    })
  } finally {
    client.destroy()
  }
}
