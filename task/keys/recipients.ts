import { Encrypter } from "age-encryption"
import { PgstowError } from "../errors.ts"

/**
 * The recipients, each once, in their order. They are age's public keys: "age1…", or "age1pq1…" and other kinds
 * that the age-encryption library knows.
 *
 * Throws a PgstowError of kind "key" that says which is none, and why; of what it is, it never repeats more than the
 * beginning.
 */
export function parseRecipients(texts: readonly string[]): string[] {
  const recipients = texts.map((text) => text.trim())
  for (const [index, recipient] of recipients.entries()) {
    const which = recipients.length === 1 ? "the recipient" : `recipient ${index + 1} of ${recipients.length}`
    checkRecipient(recipient, which)
  }
  return [...new Set(recipients)]
}

function checkRecipient(recipient: string, which: string): void {
  if (recipient === "") throw notOne(`${which} is empty`)
  if (/AGE-SECRET-KEY-/i.test(recipient))
    throw new PgstowError("key", `${which} is an identity, the secret key, and was not used`, {
      hint: "Give the recipient that belongs to it (`age-keygen -y` prints it), and keep the identity from where backups are made.",
    })
  if (!recipient.startsWith("age1")) throw notOne(`${which} is not an age recipient`)
  try {
    new Encrypter().addRecipient(recipient)
  } catch {
    const shown = recipient.length > shownCharacters ? `${recipient.slice(0, shownCharacters)}…` : recipient
    throw notOne(`${which}, ${shown}, is not valid: ${faultOf(recipient)}`)
  }
}

/** Enough to tell it from others. */
const shownCharacters = 16

/** "age1", 52 characters of the key and 6 to check them by. */
const plainLength = 62

/** Those that a recipient is written in: none that another could be mistaken for. */
const characters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

/** What is wrong with a recipient that age does not take. */
function faultOf(recipient: string): string {
  const [, kind] = /^age1([a-z]+)1/.exec(recipient) ?? []
  const isOther = kind !== undefined && recipient.length !== plainLength
  if (isOther && !["pq", "tag", "tagpq"].includes(kind))
    return `age1${kind}1… is a kind that pgstow can't encrypt for`
  const rest = recipient.slice(isOther ? `age1${kind}1`.length : "age1".length)
  const wrong = Array.from(rest).find((character) => !characters.includes(character))
  if (wrong !== undefined) return `a recipient has no ${JSON.stringify(wrong)} there`
  if (!isOther && recipient.length !== plainLength)
    return `it has ${recipient.length} characters in place of ${plainLength}`
  return "some of its characters are missing, wrong or in another order"
}

function notOne(message: string): PgstowError {
  return new PgstowError("key", message, {
    hint: "A recipient is age1 and 58 small letters and digits, or longer where it begins with age1pq1; `pgstow keygen` prints it with its identity.",
  })
}
