import { Encrypter } from "age-encryption"
import { PgstowError } from "../errors.ts"

/**
 * The recipients, each once, in their order. They are age's public keys: "age1…" or, of the hybrid post-quantum kind,
 * "age1pq1…". Beside one of these there may be recipients of hardware keys, "age1tag1…" and "age1tagpq1…".
 *
 * Throws a PgstowError of kind "key" that says which is none, and why, or which two can't go together; of what it is
 * given, it never repeats more than the beginning.
 */
export function parseRecipients(texts: readonly string[]): string[] {
  const recipients = texts.map((text) => text.trim())
  for (const [index, recipient] of recipients.entries()) {
    const which = recipients.length === 1 ? "the recipient" : `recipient ${index + 1} of ${recipients.length}`
    checkRecipient(recipient, which)
  }
  refuseMixture(recipients)
  refuseHardwareAlone(recipients)
  return [...new Set(recipients)]
}

/** age does not put the two kinds into one file, though its library would: the weaker one decides what it resists. */
function refuseMixture(recipients: readonly string[]): void {
  const hybrid = recipients.find(isHybrid)
  const classic = recipients.find((recipient) => !isHybrid(recipient))
  if (hybrid === undefined || classic === undefined) return
  throw new PgstowError(
    "key",
    `classic and hybrid recipients are mixed: ${beginningOf(classic)} is classic, ${beginningOf(hybrid)} is hybrid (post-quantum)`,
    {
      hint: "Give recipients of one kind: beside a classic one, a hybrid one protects nothing. `pgstow keygen --hybrid` makes a hybrid key; backups that are there stay as they are, so keep their keys.",
    },
  )
}

/** What is sealed for these alone could be opened by a plugin of age's, and so by no restore, drill or check here. */
function refuseHardwareAlone(recipients: readonly string[]): void {
  const [first] = recipients
  if (first === undefined || !recipients.every((recipient) => /^age1tag(pq)?1/.test(recipient))) return
  throw new PgstowError(
    "key",
    `${beginningOf(first)} belongs to a hardware key, which pgstow can't open backups with`,
    {
      hint: `Give a recipient beside it that \`pgstow keygen${isHybrid(first) ? " --hybrid" : ""}\` makes.`,
    },
  )
}

function isHybrid(recipient: string): boolean {
  return /^age1(tag)?pq1/.test(recipient)
}

/** Throws as `parseRecipients` does where a backup can't be sealed for this one. `which` is what messages call it. */
export function checkRecipient(recipient: string, which: string): void {
  if (recipient === "") throw notOne(`${which} is empty`)
  if (/AGE-SECRET-KEY-/i.test(recipient))
    throw new PgstowError("key", `${which} is an identity, the secret key, and was not used`, {
      hint: "Give the recipient that belongs to it (`age-keygen -y` prints it), and keep the identity from where backups are made.",
    })
  const [sshKey] = /^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+/.exec(recipient) ?? []
  if (sshKey !== undefined)
    throw new PgstowError("key", `${which} is an SSH key (${sshKey}), a kind that pgstow can't encrypt for`, {
      hint: otherKindHint,
    })
  if (!recipient.startsWith("age1")) throw notOne(`${which} is not an age recipient`)
  const [, plugin] = /^age1([a-z]+)1/.exec(recipient) ?? []
  if (plugin !== undefined && recipient.length !== plainLength && !knownKinds.includes(plugin))
    throw new PgstowError(
      "key",
      `${which}, ${beginningOf(recipient)}, is of the age plugin "${plugin}", a kind that pgstow can't encrypt for`,
      { hint: otherKindHint },
    )
  try {
    new Encrypter().addRecipient(recipient)
  } catch {
    throw notOne(`${which}, ${beginningOf(recipient)}, is not valid: ${faultOf(recipient)}`)
  }
}

/** Enough to tell it from others. */
const shownCharacters = 16

function beginningOf(recipient: string): string {
  return recipient.length > shownCharacters ? `${recipient.slice(0, shownCharacters)}…` : recipient
}

/** What stands after "age1" in kinds that the library encrypts for. */
const knownKinds = ["pq", "tag", "tagpq"]

const otherKindHint = "Give a recipient that `pgstow keygen` or `age-keygen` made: age1… or age1pq1…."

/** "age1", 52 characters of the key and 6 to check them by. */
const plainLength = 62

/** Those that a recipient is written in: none that another could be mistaken for. */
const characters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

/** What is wrong with a recipient that age does not take. */
function faultOf(recipient: string): string {
  const [, kind] = /^age1([a-z]+)1/.exec(recipient) ?? []
  const isOther = kind !== undefined && recipient.length !== plainLength
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
