import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { examineSources, type SourcesOptions } from "./examine-sources.ts"
import { type Facts, factsOf } from "./facts.ts"
import { type Finding, failureKindOf, type Severity, severities, worstFirst } from "./finding.ts"
import { examineKeys, type KeySettings } from "./keys.ts"
import { type LastBackups, readLastBackups } from "./last-backups.ts"
import { examineRoom } from "./room.ts"
import { examineStorage, type StorageUse } from "./storage.ts"

export type DoctorOptions = SourcesOptions & {
  readonly storages: readonly Storage[]
  /** The name in the catalog; the database's own where it is undefined. */
  readonly name: string | undefined
  readonly keys: KeySettings
  readonly use: StorageUse
}

export type DoctorResult = {
  /** The worst first. */
  readonly findings: readonly Finding[]
  readonly databases: readonly Facts[]
  readonly seconds: number
}

/**
 * Looks whether a backup with these settings would succeed, and what would be missing in it. Changes nothing on the
 * server, and leaves nothing in the storages that it may remove. What can't be looked at is a finding, too: rejects
 * only when it is interrupted.
 */
export async function doctor(options: DoctorOptions, context: Context): Promise<DoctorResult> {
  const { storages, keys, use } = options
  const startedAt = performance.now()
  const sources = await examineSources(options, context)
  const named = sources.map((source) => ({
    ...source,
    database: options.name ?? source.database ?? "doctor",
  }))
  const [first = { database: "doctor" }] = named
  const ofStorages = await Promise.all(
    storages.map((storage) => examineStorage(storage, first.database, use, context)),
  )
  const lasts: (LastBackups | undefined)[] = []
  for (const { database } of named)
    lasts.push(await readLastBackups(storages, database, keys.signedBy, context))
  const load = {
    lastStoredBytes: sumOf(lasts.map((last) => last?.backups[0]?.storedBytes)),
    databaseBytes: sumOf(named.map(({ size }) => size?.databaseBytes ?? undefined)) ?? null,
    dataDirectory: named.find(({ dataDirectory }) => dataDirectory !== undefined)?.dataDirectory,
  }
  const ofRoom = await Promise.all(storages.map((storage) => examineRoom(storage, load)))
  const findings = [
    ...named.flatMap((source) => source.findings),
    ...ofStorages.flat(),
    ...ofRoom.flat(),
    ...(await examineKeys(keys, context)),
  ]
  return {
    findings: worstFirst(withoutRepetition(findings)),
    databases: named.map((source, index) => factsOf(source, lasts[index])),
    seconds: (performance.now() - startedAt) / 1000,
  }
}

/** The sum of what is known; undefined where something is not. */
function sumOf(numbers: readonly (number | undefined)[]): number | undefined {
  return numbers.reduce((sum, one) => (sum === undefined || one === undefined ? undefined : sum + one), 0)
}

/** What is so of a server or a role is found in each of its databases. */
function withoutRepetition(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [JSON.stringify(finding), finding])).values()]
}

/** What to exit with, by the worst of what was found; undefined where there are but notices. */
export function doctorFailure({ findings }: DoctorResult): PgstowError | undefined {
  const kind = failureKindOf(findings)
  if (kind === undefined) return undefined
  return new PgstowError(kind, `the doctor found ${countsOf(findings)}`, {
    hint: "See above: each comes with its fix.",
  })
}

/** "2 errors, 1 warning". */
export function countsOf(findings: readonly Finding[]): string {
  const count = (severity: Severity) => findings.filter((one) => one.severity === severity).length
  return severities
    .filter((severity) => count(severity) > 0)
    .map((severity) => formatCount(count(severity), severity))
    .join(", ")
}
