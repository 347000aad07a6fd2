import { resolve } from "node:path"
import type { Context } from "../context.ts"
import { generateIdentity, writeIdentityFile } from "./identity.ts"
import { generateSigningKey, writeSigningKeyFile } from "./signing-key.ts"

export type KeygenResult = {
  /** The public key: for --recipient. */
  readonly recipient: string
  /** The file that holds the identity. */
  readonly identityFile: string
}

/** Makes an age identity and writes it to a new file. */
export async function keygen(
  { out, hybrid = false }: { readonly out: string; readonly hybrid?: boolean },
  { now }: Pick<Context, "now">,
): Promise<KeygenResult> {
  const key = await generateIdentity(hybrid ? "hybrid" : "classic")
  const identityFile = resolve(out)
  await writeIdentityFile(identityFile, key, now())
  return { recipient: key.recipient, identityFile }
}

export type SigningKeygenResult = {
  /** The public half: for --signed-by. */
  readonly signer: string
  /** The file that holds the signing key. */
  readonly signingKeyFile: string
}

/** Makes a signing key and writes it to a new file. */
export async function signingKeygen(
  { out }: { readonly out: string },
  { now }: Pick<Context, "now">,
): Promise<SigningKeygenResult> {
  const key = generateSigningKey()
  const signingKeyFile = resolve(out)
  await writeSigningKeyFile(signingKeyFile, key, now())
  return { signer: key.signer, signingKeyFile }
}
