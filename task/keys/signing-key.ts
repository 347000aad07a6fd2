import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto"
import { PgstowError } from "../errors.ts"
import { type KeySource, type KeyWords, keyLines, namesFile, readKeyText, writeKeyFile } from "./key-text.ts"

/** An Ed25519 key that signs. */
export type SigningKey = {
  readonly privateKey: KeyObject
  /** Its public half, in text: "pgstow-signer-…". */
  readonly signer: string
}

const privatePrefix = "PGSTOW-SIGNING-KEY-"
const publicPrefix = "pgstow-signer-"

/** 32 bytes in base64url. */
const half = "[A-Za-z0-9_-]{43}"
/** The public half of a signing key, in text. */
export const signerPattern = new RegExp(`^${publicPrefix}${half}$`)
const keyPattern = new RegExp(`^${privatePrefix}(${half})-(${half})$`)

const hint = `A signing key begins with ${privatePrefix}; \`pgstow keygen --signing\` writes it into a file.`

const signingKeyWords: KeyWords = {
  name: "signing key",
  field: "signingKey",
  isKey: (setting) => /SIGNING-KEY-/i.test(setting),
  fileHint: "Give --signing-key (PGSTOW_SIGNING_KEY) the file that `pgstow keygen --signing` wrote.",
}

/** A new signing key, as text, and its public half. */
export function generateSigningKey(): { readonly key: string; readonly signer: string } {
  const { d = "", x = "" } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })
  return { key: `${privatePrefix}${d}-${x}`, signer: publicPrefix + x }
}

/** Writes a signing key for its owner's eyes only. Never over a file that is there. */
export async function writeSigningKeyFile(
  file: string,
  { key, signer }: { readonly key: string; readonly signer: string },
  now: Date,
): Promise<void> {
  const text = `# created: ${now.toISOString()}\n# public key: ${signer}\n${key}\n`
  await writeKeyFile(file, text, "a signing key that is lost can't sign any more")
}

/**
 * The signing key of a setting: a file, `secretsmanager:` and a secret's ARN, or the key itself; a secret, like the
 * setting, may be JSON with a field "signingKey". Throws a PgstowError of kind "key" that never holds a key.
 */
export async function loadSigningKey(setting: string, source: KeySource): Promise<SigningKey> {
  if (setting.startsWith(publicPrefix))
    throw new PgstowError("key", "the public half was given where a signing key is needed", { hint })
  const { text, where } = await readKeyText(setting, signingKeyWords, source)
  const [line, ...others] = keyLines(text)
  if (line === undefined) throw new PgstowError("key", `${where} holds no signing key`, { hint })
  if (others.length > 0)
    throw new PgstowError("key", `${where} holds more than one key`, { hint: "Give it one signing key." })
  const [, d, x] = keyPattern.exec(line) ?? []
  if (d === undefined || x === undefined)
    throw new PgstowError("key", `${where} holds no signing key of pgstow's`, { hint })
  const privateKey = createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x }, format: "jwk" })
  // What was cut or mistyped would sign as nobody, and that come out in a restore.
  if (createPublicKey(privateKey).export({ format: "jwk" }).x !== x)
    throw new PgstowError("key", `${where} holds a signing key whose halves do not belong together`, { hint })
  return { privateKey, signer: publicPrefix + x }
}

/** Whether a setting names the file of a signing key, and is neither a secret nor the key itself. */
export function isSigningKeyFile(setting: string): boolean {
  return namesFile(setting, signingKeyWords)
}

/** The public halves of signing keys, each once. Throws a PgstowError of kind "key" that names the one that is none. */
export function parseSigners(texts: readonly string[]): string[] {
  const signers = texts.map((text) => text.trim())
  for (const [index, signer] of signers.entries()) {
    if (signerPattern.test(signer)) continue
    const isSecret = signingKeyWords.isKey(signer)
    const what = isSecret ? "a signing key, and not its public half" : "not the public half of a signing key"
    throw new PgstowError("key", `key ${index + 1} of --signed-by (PGSTOW_SIGNED_BY) is ${what}`, {
      hint: `It begins with ${publicPrefix}; \`pgstow keygen --signing\` prints it, and the key's file has it as a comment.`,
    })
  }
  return [...new Set(signers)]
}

/** Signs bytes. The signature in base64. */
export function signBytes(bytes: Uint8Array, { privateKey }: SigningKey): string {
  return sign(null, bytes, privateKey).toString("base64")
}

/** Whether `signature`, in base64, is that of the bytes by the key with the public half `signer`. */
export function isSignedBy(bytes: Uint8Array, signature: string, signer: string): boolean {
  const x = signer.slice(publicPrefix.length)
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })
  const value = Buffer.from(signature, "base64")
  // Several texts stand for the same bytes: only one of them is ours.
  return value.toString("base64") === signature && verify(null, bytes, key, value)
}
