import { relateEntries } from "../archive/archive.ts"
import { planRestore, type RestorePlan } from "../archive/plan-restore.ts"
import { rootsByText } from "../archive/rows-by-root.ts"
import { formatName } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import { type RoleSetting, roleSettingsIn } from "../postgres/database-properties.ts"
import { type Locale, readLocale } from "../postgres/server.ts"
import type { Session } from "../postgres/session.ts"
import {
  findClosedParameters,
  findDefaultGivers,
  findMissingLocales,
  inspectTarget,
  type TargetServer,
} from "../postgres/target-server.ts"
import { readRoles } from "./create-roles.ts"
import { foreseeProtocols, isOfExtension } from "./extension-protocols.ts"
import { extensionsThere } from "./extensions-there.ts"
import { type Foreseen, foresee, formatForeseen, refusalOf } from "./foresee.ts"
import { foreseeRoles } from "./foresee-roles.ts"
import { missingTablespaces, type RestoreJob, restoresAsSuperuser } from "./job.ts"
import { noticesOfLookups } from "./notices-of-lookups.ts"
import type { RestoreJobOptions } from "./options.ts"
import { whatIsMissing } from "./what-is-missing.ts"

/** What a restore is going to do, and what of that will fail. */
export type Outlook = {
  /** Without tablespaces, where the target lacks one. */
  readonly job: RestoreJob
  readonly plan: RestorePlan
  readonly foreseen: readonly Foreseen[]
  /** The backup's roles that are made first. */
  readonly rolesToMake: readonly string[]
  /** What a person should know of it, and what need not fail by it. */
  readonly notes: readonly string[]
  /** What is called with an empty search_path and may fail by it, or bring something else: whether, only the rows tell. */
  readonly lookups: readonly string[]
  /** What will not be as it was, and fails nothing: the result of a restore says what came of it, where it is worse. */
  readonly differences: readonly string[]
}

/** Looks at the backup and the target, and at what the one needs of the other. Changes nothing. */
export async function lookAhead(
  job: RestoreJob,
  { exists, createRoles }: { readonly exists: boolean; readonly createRoles: boolean },
  { signal }: Pick<Context, "signal">,
): Promise<Outlook> {
  const { storage, archive, target, manifest, checkFirst, name, options, clients } = job
  const session = await (exists ? target.inside(name) : target.outside())
  const server = await inspectTarget(session)
  const plan = planRestore(archive, {
    selection: options.selection,
    leaveOut: options.leaveOut,
    isOfExtension,
    target: exists
      ? { isNew: false, extensions: server.installedExtensions, schemas: server.schemas }
      : { isNew: true },
    clean: options.clean,
    asSuperuser: restoresAsSuperuser(options, server),
  })
  const roles = createRoles
    ? await readRoles(storage, manifest, { identities: options.identities, checkFirst, signal })
    : []
  const rolesToMake = roles.flatMap((one) =>
    one.kind === "role" && !server.roles.has(one.role) ? [one.role] : [],
  )
  const { localeProvider, collate, ctype } = manifest.source
  const byLibc = localeProvider === "libc" ? [collate, ctype] : []
  const missingLocales =
    exists || options.locale === "default" ? [] : await findMissingLocales(session, byLibc)
  const allRoleSettings = exists ? [] : roleSettingsIn(plan.entries)
  const roleSettings = options.grants === "none" ? [] : allRoleSettings
  const databaseSettings = exists
    ? []
    : manifest.source.settings.map((setting) => setting.replace(/=.*$/s, ""))
  const closedParameters = await findClosedParameters(session, [
    ...roleSettings.map(({ parameter }) => parameter),
    ...databaseSettings,
  ])
  const actor = typeof options.owners === "string" ? server.user : options.owners.role
  const intention = {
    plan,
    manifest,
    options,
    exists,
    clientMajor: clients.major,
    rolesToMake,
    missingLocales,
    roleSettings,
    closedParameters,
    defaultGivers: await findDefaultGivers(session, actor),
  }
  const tablespaces = missingTablespaces(job, plan, server)
  const extensions = extensionsThere(plan.extensions, manifest.source.extensions, server.availableExtensions)
  return {
    job: tablespaces.areMissing ? { ...job, options: { ...options, tablespaces: "none" } } : job,
    plan,
    foreseen: [
      ...foresee(intention, server),
      ...(await foreseeProtocols(session, { plan, manifest, name, exists }, server)),
    ],
    rolesToMake,
    notes: [
      ...whatIsMissing(manifest),
      ...tablespaces.warnings,
      ...extensions.older.map((sentence) => `${sentence}: what needs the newer one will fail`),
      ...(await partitionsElsewhere(job, plan, session, exists)),
      ...(options.grants === "none" ? settingsLeftOut(allRoleSettings) : []),
    ],
    lookups: noticesOfLookups(job, plan, exists),
    differences: [
      ...extensions.newer,
      ...(server.mayCreateRoles ? await foreseeRoles(session, roles, server) : []),
      ...closedSettings(
        databaseSettings.filter((name) => closedParameters.includes(name)),
        server,
      ),
    ],
  }
}

/** A sentence for what is set for roles in the database: pg_dump counts it among the database's properties, not the grants. */
function settingsLeftOut(settings: readonly RoleSetting[]): string[] {
  if (settings.length === 0) return []
  const named = [...Map.groupBy(settings, ({ role }) => role)].map(
    ([role, own]) =>
      `${own.map(({ parameter }) => formatName(parameter)).join(", ")} for ${formatName(role)}`,
  )
  return [`--no-acl leaves out what is set for roles in the database: ${named.join("; ")}`]
}

/** A sentence where settings of the database itself won't be taken. */
function closedSettings(parameters: readonly string[], { user }: TargetServer): string[] {
  if (parameters.length === 0) return []
  const names = parameters.map(formatName).join(", ")
  return [
    `settings of the database will not be taken, since the user ${formatName(user)} may not set ${names}`,
  ]
}

/** A sentence where rows may go to other partitions than they were in. */
async function partitionsElsewhere(
  { manifest: { source }, options }: RestoreJob,
  plan: RestorePlan,
  session: Session,
  exists: boolean,
): Promise<string[]> {
  if (!exists && options.locale === "original") return []
  const roots = new Set(rootsByText(relateEntries(plan.entries)).values())
  if (roots.size === 0) return []
  const there = await readLocale(session, exists ? "this" : "new")
  const parts: readonly (keyof Locale)[] = [
    "encoding",
    "localeProvider",
    "collate",
    "ctype",
    "locale",
    "icuRules",
  ]
  if (parts.every((part) => there[part] === source[part])) return []
  const tables = [...roots].map(({ schema = "", name }) => formatName(`${schema}.${name}`)).join(", ")
  return [
    `the target's locale is not the backup's: rows of ${tables} go to the partitions that it puts them in`,
  ]
}

/**
 * Goes on where nothing is foreseen to fail, where that is wanted in spite of it, or where somebody at the terminal
 * says so. Throws a PgstowError otherwise: before anything is made.
 */
export async function askOfForeseen(
  foreseen: readonly Foreseen[],
  { anyway, yes, ask }: Pick<RestoreJobOptions, "anyway" | "yes" | "ask">,
  { log, progress }: Pick<Context, "log" | "progress">,
): Promise<void> {
  const refusal = refusalOf(foreseen)
  if (!refusal) return
  if (anyway) {
    for (const { why } of foreseen) log.warn(`${why}: going on anyway`)
    return
  }
  // Yes to all questions is no yes to a restore that fails.
  if (!ask || yes) throw refusal
  progress.clear()
  const answer = await ask(
    ["What would fail:", ...formatForeseen(foreseen), "Go on anyway? (yes or no) "].join("\n"),
  )
  if (answer?.trim().toLowerCase() !== "yes")
    throw new PgstowError("notConfirmed", `nothing was restored: ${refusal.message}`, { hint: refusal.hint })
}
