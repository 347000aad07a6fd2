import {
  Decrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption"
import { PgstowError } from "../errors.ts"
import { type KeySource, type KeyWords, keyLines, readKeyText, writeKeyFile } from "./key-text.ts"

const keyPattern = /^AGE-SECRET-KEY-[0-9A-Z-]+$/

const hint = "An identity begins with AGE-SECRET-KEY-; `pgstow keygen` writes it into a file."

const identityWords: KeyWords = {
  name: "identity",
  field: "identity",
  // Wherever it holds a key it is no path, which a message would repeat.
  isKey: (setting) => /SECRET-KEY-/i.test(setting),
  fileHint: "Give --identity (PGSTOW_IDENTITY) the file that `pgstow keygen` or `age-keygen` wrote.",
}

/**
 * The identities of a setting: age's secret keys, one a line, with comments, as `age-keygen` writes them.
 *
 * The setting is a file, `secretsmanager:` and a secret's ARN, or the identity itself; a secret, like the setting,
 * may be JSON with a field "identity". Throws a PgstowError of kind "key" that says what is wrong and never holds a key.
 */
export async function loadIdentities(setting: string, source: KeySource): Promise<string[]> {
  if (setting.startsWith("age1"))
    throw new PgstowError("key", "a recipient was given where an identity is needed", { hint })
  const { text, where } = await readKeyText(setting, identityWords, source)
  return identitiesIn(text, where)
}

function identitiesIn(text: string, where: string): string[] {
  if (/^age-encryption\.org\/|^-----BEGIN AGE ENCRYPTED FILE-----/.test(text))
    throw new PgstowError("key", `${where} is itself encrypted with age`, {
      hint: "Decrypt it with `age -d` first, and give the result.",
    })
  const foreign = foreignKinds.find(([pattern]) => pattern.test(text))?.[1]
  if (foreign !== undefined)
    throw new PgstowError("key", `${where} holds ${foreign}, a kind that pgstow can't open backups with`, {
      hint: "Give an identity that `pgstow keygen` or `age-keygen` made, or open the backup with `age` and its plugin.",
    })
  const keys = keyLines(text)
  if (keys.length === 0) throw new PgstowError("key", `${where} holds no identity`, { hint })
  for (const [index, key] of keys.entries()) {
    if (!keyPattern.test(key) || !isIdentity(key)) {
      const kind = key.startsWith("age1") ? "a recipient, not an identity" : "no identity that age knows"
      throw new PgstowError("key", `${where} holds ${kind} (key ${index + 1})`, { hint })
    }
  }
  return keys
}

const foreignKinds: readonly (readonly [RegExp, string])[] = [
  [/^-----BEGIN (OPENSSH|RSA|EC|DSA) PRIVATE KEY-----/m, "an SSH key"],
  [/^AGE-PLUGIN-/m, "an identity of an age plugin"],
]

function isIdentity(key: string): boolean {
  try {
    new Decrypter().addIdentity(key)
    return true
  } catch {
    return false
  }
}

/** A new identity, classic (X25519) or hybrid (with ML-KEM-768 beside it), and the recipient that belongs to it. */
export async function generateIdentity(
  kind: "classic" | "hybrid" = "classic",
): Promise<{ identity: string; recipient: string }> {
  const identity = await (kind === "hybrid" ? generateHybridIdentity() : generateX25519Identity())
  return { identity, recipient: await identityToRecipient(identity) }
}

/** Writes an identity as `age-keygen` does, for its owner's eyes only. Never over a file that is there. */
export async function writeIdentityFile(
  file: string,
  { identity, recipient }: { readonly identity: string; readonly recipient: string },
  now: Date,
): Promise<void> {
  const text = `# created: ${now.toISOString()}\n# public key: ${recipient}\n${identity}\n`
  await writeKeyFile(file, text, "an identity that is lost takes its backups with it")
}
