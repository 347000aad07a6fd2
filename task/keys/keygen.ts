import { resolve } from "node:path"
import type { Context } from "../context.ts"
import { generateIdentity, writeIdentityFile } from "./identity.ts"

export type KeygenResult = {
  /** The public key: for --recipient. */
  readonly recipient: string
  /** The file that holds the identity. */
  readonly identityFile: string
}

/** Makes an age identity and writes it to a new file. */
export async function keygen(
  { out }: { readonly out: string },
  { now }: Pick<Context, "now">,
): Promise<KeygenResult> {
  const key = await generateIdentity()
  const identityFile = resolve(out)
  await writeIdentityFile(identityFile, key, now())
  return { recipient: key.recipient, identityFile }
}
