import { readdir } from "node:fs/promises"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { identityToRecipient } from "age-encryption"
import type { Context } from "../context.ts"
import { shownRecipient } from "../core/shown-recipient.ts"
import { messageOf, PgstowError } from "../errors.ts"
import { readAwsSecret } from "../keys/aws-secret.ts"
import { loadIdentities } from "../keys/identity.ts"
import { parseRecipients } from "../keys/recipients.ts"
import { loadSigningKey } from "../keys/signing-key.ts"
import type { Finding } from "./finding.ts"

/** What settings say of keys, as they were given. */
export type KeySettings = {
  readonly recipients: readonly string[]
  readonly unencrypted: boolean
  /** PGSTOW_IDENTITY. */
  readonly identity: string | undefined
  readonly signingKey: string | undefined
  /** The public halves of which one must have signed what is read. */
  readonly signedBy: readonly string[]
}

/** Looks at recipients, and for what opens backups on the machine that makes them. Gives no key away. */
export async function examineKeys(
  settings: KeySettings,
  { env, signal }: Pick<Context, "env" | "signal">,
): Promise<Finding[]> {
  const recipients = recipientFindings(settings)
  const valid = recipients.length === 0 ? parseRecipients(settings.recipients) : []
  const found = [
    ...recipients,
    ...(await identityFindings(settings, valid, env)),
    ...(await signingFindings(settings)),
  ]
  signal.throwIfAborted()
  return found
}

function recipientFindings({ recipients, unencrypted }: KeySettings): Finding[] {
  const generate = "pgstow keygen --out pgstow.key, then PGSTOW_RECIPIENTS= with the age1… that it prints"
  if (recipients.length === 0 && !unencrypted)
    return [
      {
        check: "keys.recipients",
        severity: "error",
        subject: "PGSTOW_RECIPIENTS",
        what: "no recipient was given",
        why: "Backups are sealed for those who may open them, and without any there is no backup.",
        fix: generate,
      },
    ]
  if (unencrypted)
    return [
      {
        check: "keys.unencrypted",
        severity: recipients.length > 0 ? "error" : "notice",
        subject: "PGSTOW_UNENCRYPTED",
        what:
          recipients.length > 0
            ? "--recipient and --unencrypted contradict each other"
            : "backups are stored readable by anyone who comes by them",
        why:
          recipients.length > 0
            ? "A backup is refused with both."
            : "Whoever may read the storage, its disk or its snapshots has the database.",
        fix: recipients.length > 0 ? "PGSTOW_UNENCRYPTED=false" : generate,
      },
    ]
  try {
    parseRecipients(recipients)
    return []
  } catch (error) {
    if (!(error instanceof PgstowError)) throw error
    return [
      {
        check: "keys.recipients",
        severity: "error",
        subject: "PGSTOW_RECIPIENTS",
        what: error.message,
        why: "Nothing can be sealed so, and the backup is refused.",
        fix: error.hint ?? generate,
      },
    ]
  }
}

/** A private key that lies here, and where. */
type Place = { readonly where: string; readonly setting: string }

async function identityFindings(
  { identity }: KeySettings,
  recipients: readonly string[],
  env: Context["env"],
): Promise<Finding[]> {
  const files = (await keyFiles(env)).map((file): Place => ({ where: file, setting: file }))
  const named: Place[] = identity === undefined ? [] : [{ where: "PGSTOW_IDENTITY", setting: identity }]
  const places = [...named, ...files.filter(({ setting }) => setting !== (identity && resolve(identity)))]
  const found: Finding[] = []
  for (const place of places) {
    const warnings: string[] = []
    const opens = await recipientsOpenedBy(place.setting, warnings)
    if (opens === undefined) continue
    for (const warning of warnings) found.push(openToOthers(place, warning))
    const ours = recipients.filter((recipient) => opens.includes(recipient))
    if (ours.length > 0) found.push(withinReach(place, ours))
  }
  return found
}

/** Undefined where no identity can be read there: then it is not within reach. */
async function recipientsOpenedBy(setting: string, warnings: string[]): Promise<string[] | undefined> {
  try {
    const source = { readSecret: readAwsSecret, warn: (message: string) => void warnings.push(message) }
    const identities = await loadIdentities(setting, source)
    return await Promise.all(identities.map((one) => identityToRecipient(one)))
  } catch {
    return undefined
  }
}

function withinReach({ where }: Place, recipients: readonly string[]): Finding {
  return {
    check: "keys.identity",
    severity: "warning",
    subject: where,
    what: `a private key that opens the backups is on this machine (for ${recipients.map(shownRecipient).join(", ")})`,
    why: "Whoever breaks into the machine that makes backups can read all of them, old ones too. It needs the public key alone.",
    fix:
      where === "PGSTOW_IDENTITY"
        ? "Take PGSTOW_IDENTITY out of this machine's settings, and keep the key where backups are restored."
        : `Move ${where} to where backups are restored, and keep no copy here.`,
  }
}

function openToOthers({ where, setting }: Place, warning: string): Finding {
  return {
    check: "keys.permissions",
    severity: "warning",
    subject: where,
    what: warning.replace(/: chmod 600 .*$/s, ""),
    why: "Every user of this machine can open the backups with it.",
    fix: `chmod 600 ${setting}`,
  }
}

/** Files that look like keys, where people put them. */
async function keyFiles(env: Context["env"]): Promise<string[]> {
  const home = env.HOME ?? homedir()
  const folders = [".", "/etc/pgstow", join(home, ".config/pgstow"), join(home, ".config/age")]
  const found = await Promise.all(
    folders.map(async (folder) => {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
      return entries
        .filter((entry) => entry.isFile() && /\.key$|^keys\.txt$/.test(entry.name))
        .map(({ name }) => resolve(folder, name))
    }),
  )
  return [...new Set(found.flat())]
}

async function signingFindings({ signingKey, signedBy }: KeySettings): Promise<Finding[]> {
  if (signingKey === undefined) return []
  const subject = "PGSTOW_SIGNING_KEY"
  const warnings: string[] = []
  try {
    const warn = (message: string) => void warnings.push(message)
    const { signer } = await loadSigningKey(signingKey, { readSecret: readAwsSecret, warn })
    const isRefused = signedBy.length > 0 && !signedBy.includes(signer)
    return [
      ...warnings.map(
        (warning): Finding => ({
          ...openToOthers({ where: subject, setting: signingKey }, warning),
          why: "Every user of this machine can sign backups with it.",
        }),
      ),
      ...(isRefused
        ? [
            {
              check: "keys.signer",
              severity: "error",
              subject,
              what: `backups would be signed by ${signer}, which --signed-by does not name`,
              why: "What is read must be signed by one of those, so every new backup would count for nothing.",
              fix: `PGSTOW_SIGNED_BY="${[...signedBy, signer].join(" ")}"`,
            } satisfies Finding,
          ]
        : []),
    ]
  } catch (error) {
    if (!(error instanceof PgstowError)) throw error
    return [
      {
        check: "keys.signing-key",
        severity: "error",
        subject,
        what: messageOf(error),
        why: "Backups are to be signed, and none is made without the key.",
        fix: error.hint ?? "pgstow keygen --signing --out signing.key",
      },
    ]
  }
}
