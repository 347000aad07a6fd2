import { formatManifest, type Manifest } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { isSignedBy, type SigningKey, signBytes } from "../keys/signing-key.ts"

/** The second line of a signed manifest. What it signs is all bytes but that line's, which are a manifest, too. */
const signatureLine = /^\{\n( {2}"signature": "(pgstow-signer-[\w-]{43}) ([A-Za-z0-9+/]{86}==)",\n)/
const longestLine = 256

/** A stored manifest's bytes, taken apart. */
export type SignedManifest = {
  /** All but the signature: what is signed, and all that is to be read. */
  readonly signed: Buffer
  /** Undefined where there is none. Nobody has checked it. */
  readonly signature: { readonly signer: string; readonly value: string } | undefined
}

/** The manifest with the signature of the bytes that it is stored as without one. */
export function signManifest(manifest: Manifest, key: SigningKey): Manifest {
  const { signature: _, ...unsigned } = manifest
  const value = signBytes(Buffer.from(formatManifest(unsigned)), key)
  return { ...unsigned, signature: `${key.signer} ${value}` }
}

export function splitSignature(bytes: Buffer): SignedManifest {
  const [, line, signer, value] = signatureLine.exec(bytes.toString("latin1", 0, longestLine)) ?? []
  if (line === undefined || signer === undefined || value === undefined)
    return { signed: bytes, signature: undefined }
  const begin = "{\n".length
  const signed = Buffer.concat([bytes.subarray(0, begin), bytes.subarray(begin + line.length)])
  return { signed, signature: { signer, value } }
}

/** The public key that a manifest says it is signed by, whether or not that is true; undefined where it names none. */
export function signerOf({ signature }: Manifest): string | undefined {
  return signature?.split(" ")[0]
}

/**
 * Throws a PgstowError of kind "signature" unless the manifest is signed by one of `signedBy`.
 *
 * @param where names the manifest in messages
 */
export function refuseUnsigned(
  { signed, signature }: SignedManifest,
  signedBy: readonly string[],
  where: string,
): void {
  if (!signature)
    throw new PgstowError("signature", `${where} is not signed`, {
      hint: "Somebody else may have put it there, or changed it. If it was made without --signing-key, leave --signed-by (PGSTOW_SIGNED_BY) out.",
    })
  const { signer, value } = signature
  if (!signedBy.includes(signer))
    throw new PgstowError("signature", `${where} is signed by ${signer}, which is not trusted`, {
      hint: "If that is a key of yours, give it by --signed-by (PGSTOW_SIGNED_BY), too.",
    })
  if (!isSignedBy(signed, value, signer))
    throw new PgstowError("signature", `${where} was changed after it was signed by ${signer}`, {
      hint: "Use another copy of the backup, or another backup, and find out who may write to the storage.",
    })
}
