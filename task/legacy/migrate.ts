import { parseEnv } from "node:util"
import { PgstowError } from "../errors.ts"
import { emitiNames, sentinelNames, type TranslatedSetting, translateSettings } from "./translate-settings.ts"

/** What becomes of an environment file of Emiti or Sentinel. */
export type Migration = {
  readonly system: "Emiti" | "Sentinel" | "Emiti and Sentinel"
  /** The settings to run pgstow with. Values may be secret. */
  readonly settings: readonly Pick<TranslatedSetting, "name" | "value" | "from">[]
  /** What pgstow does in another way, a sentence each. */
  readonly differences: readonly string[]
  /** What is unknown, has no meaning, or contradicts something else, a sentence each. */
  readonly problems: readonly string[]
}

/** What the older system does where its setting is left out. */
const defaults = {
  emiti: { BACKUP_RETENTION: "30" },
  sentinel: { BACKUP_RETENTION_DAYS: "7" },
}

/** What pgstow, PostgreSQL's programs and the AWS SDK read by the same name: taken over as it is. */
const ownNames =
  /^(DATABASE_URL|ENCRYPTION_KEY(_PATH)?|LOG_(LEVEL|FILE)|MINIO_(ACCESS|SECRET)_KEY|PGSTOW_\w+|PG[A-Z]+|AWS_\w+)$/

/** Names that any program's settings may have: they do not tell whose a file is. */
const anybodys = ["DATABASE_URL", "LOG_LEVEL", "LOG_FILE"]

/**
 * Reads the text of an environment file (NAME=value lines, as a shell, systemd and Docker read them) and finds the
 * settings of pgstow's that do the same. Throws a usage error where there is none of either system in it.
 */
export function migrate(text: string): Migration {
  const file = Object.fromEntries(Object.entries(parseEnv(text)).filter(([, value]) => value))
  const of = (names: readonly string[], others: readonly string[]) =>
    Object.keys(file).filter((name) => names.includes(name) && !others.includes(name))
  const [emiti, sentinel] = [of(emitiNames, sentinelNames), of(sentinelNames, emitiNames)]
  const telling = of([...emitiNames, ...sentinelNames], anybodys)
  if (emiti.length + sentinel.length === 0 || telling.length === 0)
    throw new PgstowError("usage", "the file has no setting of Emiti or Sentinel", {
      hint: `Emiti's are ${emitiNames.filter((name) => !anybodys.includes(name)).join(", ")}; Sentinel's are BACKUP_RETENTION_DAYS, POSTGRES_DB and the like. What else is in it, pgstow reads by the same name.`,
    })

  const assumed = sentinel.length > 0 ? defaults.sentinel : defaults.emiti
  const retention = "BACKUP_RETENTION" in file || "BACKUP_RETENTION_DAYS" in file ? {} : assumed
  const { settings, differences, problems } = translateSettings({ ...file, ...retention })
  const kept = Object.entries(file)
    .filter(([name]) => ownNames.test(name) && !settings.some((setting) => setting.name === name))
    .map(([name, value]) => ({ name, value: value ?? "", from: [name] }))
  return {
    system: emiti.length === 0 ? "Sentinel" : sentinel.length === 0 ? "Emiti" : "Emiti and Sentinel",
    settings: [...kept, ...settings.filter(({ value }) => value !== ""), cleanup],
    differences: [...differences, ...always, ...(file.BACKUP_DIR ? [] : [noFolder])],
    problems: [
      ...(emiti.length > 0 && sentinel.length > 0
        ? [
            `The file has settings of both systems: ${emiti.join(", ")} of Emiti's, ${sentinel.join(", ")} of Sentinel's.`,
          ]
        : []),
      ...(file.PGSTOW_RECIPIENTS || file.PGSTOW_UNENCRYPTED ? [] : [noRecipients]),
      ...problems,
      ...unknown(file),
      ...expansions(file),
    ],
  }
}

const cleanup = { name: "PGSTOW_CLEANUP", value: "true", from: [] }
const noFolder =
  "BACKUP_DIR is not set: name the folder that was used until now in PGSTOW_STORAGE, if you want it."
const noRecipients =
  "PGSTOW_RECIPIENTS is missing, and no backup is made without: run `pgstow keygen --out pgstow.key`, keep that file elsewhere, and set PGSTOW_RECIPIENTS to the age1… that it prints."
const always = [
  "Owners and grants are kept in the backup: `pgstow restore --no-owner --no-acl` leaves them out, as the older system did.",
  "Files that are there already are no backups of pgstow's: `pgstow import` makes them that.",
]

function unknown(file: Record<string, string | undefined>): string[] {
  return Object.keys(file)
    .filter((name) => !ownNames.test(name) && !emitiNames.includes(name) && !sentinelNames.includes(name))
    .map((name) => `${name} is not known, and left out.`)
}

function expansions(file: Record<string, string | undefined>): string[] {
  return Object.entries(file)
    .filter(([, value]) => /\$[A-Za-z_{(]|`/.test(value ?? ""))
    .map(([name]) => `${name} has a $ or a backquote in it, and is taken as it stands: no shell reads it.`)
}

const secretNames = /^(DATABASE_URL|PGPASSWORD|ENCRYPTION_KEY|PGSTOW_NOTIFY|PGSTOW_IDENTITY|\w+_(KEY|TOKEN))$/

/** Whether nobody should read the value of this setting over a shoulder. */
export function isSecret(name: string): boolean {
  return secretNames.test(name)
}

/** For people: what to set, what will differ, what to look at. Secrets are left out. */
export function formatMigration({ system, settings, differences, problems }: Migration): string {
  const lines = settings.map(({ name, value, from }) => {
    const shown = isSecret(name) ? "…" : value
    const older = from.filter((one) => one !== name)
    return `  ${name}=${shown}${older.length > 0 ? `   # ${older.join(", ")}` : ""}`
  })
  const list = (title: string, sentences: readonly string[]) =>
    sentences.length === 0 ? [] : ["", title, ...sentences.map((sentence) => `  - ${sentence}`)]
  return [
    `These settings do what ${system} did (secrets are not shown):`,
    ...lines,
    ...list("What will differ:", differences),
    ...list("What to look at:", problems),
  ].join("\n")
}

/** The settings as an environment file that shells, systemd, Docker and Node read alike. Secrets are in it. */
export function formatEnvFile({ settings, differences, problems }: Migration): string {
  return [
    ...settings.map(({ name, value }) => `${name}=${quote(name, value)}`),
    "",
    ...[...differences, ...problems].map((sentence) => `# ${sentence}`),
    "",
  ].join("\n")
}

function quote(name: string, value: string): string {
  if (/^[\w@%+=:,./?&-]*$/.test(value)) return value
  if (!value.includes("'")) return `'${value}'`
  if (!/["\\$`]/.test(value)) return `"${value}"`
  throw new PgstowError("usage", `the value of ${name} can't be quoted so that every reader understands it`, {
    hint: `Take the single quotes out of ${name}, and write it into the new file by hand.`,
  })
}
