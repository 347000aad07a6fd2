import { Encrypter } from "age-encryption"
import { PgstowError } from "../errors.ts"

/**
 * The recipients, each once, in their order. They are age's public keys: "age1…", or "age1pq1…" and other kinds
 * that the age-encryption library knows.
 *
 * Throws a PgstowError of kind "key" that names the one that is none, unless that may be a secret.
 */
export function parseRecipients(texts: readonly string[]): string[] {
  const recipients = texts.map((text) => text.trim())
  for (const [index, recipient] of recipients.entries()) checkRecipient(recipient, index + 1)
  return [...new Set(recipients)]
}

function checkRecipient(recipient: string, number: number): void {
  if (recipient === "") throw notOne(`recipient ${number} is empty`)
  if (/AGE-SECRET-KEY-/i.test(recipient))
    throw new PgstowError("key", `recipient ${number} is an identity, the secret key, and was not used`, {
      hint: "Give the recipient that belongs to it (`age-keygen -y` prints it), and keep the identity from where backups are made.",
    })
  if (!recipient.startsWith("age1")) throw notOne(`recipient ${number} is not an age recipient`)
  try {
    new Encrypter().addRecipient(recipient)
  } catch (cause) {
    const shown = recipient.length > 80 ? `${recipient.slice(0, 80)}…` : recipient
    throw notOne(`recipient ${number} is not valid: ${shown}`, cause)
  }
}

function notOne(message: string, cause?: unknown): PgstowError {
  return new PgstowError("key", message, {
    cause,
    hint: "A recipient begins with age1; `pgstow keygen` makes one together with its identity.",
  })
}
