import { formatCount } from "../console/format.ts"
import type { Context } from "../context.ts"
import { PgstowError } from "../errors.ts"
import type { Storage } from "../storage/storage.ts"
import { examineSource, type SourceOptions } from "./examine-source.ts"
import { type Facts, factsOf } from "./facts.ts"
import { type Finding, failureKindOf, type Severity, severities, worstFirst } from "./finding.ts"
import { examineKeys, type KeySettings } from "./keys.ts"
import { readLastBackups } from "./last-backups.ts"
import { examineRoom } from "./room.ts"
import { examineStorage, type StorageUse } from "./storage.ts"

export type DoctorOptions = SourceOptions & {
  readonly storages: readonly Storage[]
  /** The name in the catalog; the database's own where it is undefined. */
  readonly name: string | undefined
  readonly keys: KeySettings
  readonly use: StorageUse
}

export type DoctorResult = {
  /** The worst first. */
  readonly findings: readonly Finding[]
  readonly facts: Facts
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
  const source = await examineSource(options, context)
  const database = options.name ?? source.database ?? "doctor"
  const ofStorages = await Promise.all(
    storages.map((storage) => examineStorage(storage, database, use, context)),
  )
  const last = await readLastBackups(storages, database, keys.signedBy, context)
  const load = {
    lastStoredBytes: last?.backups[0]?.storedBytes,
    databaseBytes: source.size?.databaseBytes ?? null,
    dataDirectory: source.dataDirectory,
  }
  const ofRoom = await Promise.all(storages.map((storage) => examineRoom(storage, load)))
  const findings = [
    ...source.findings,
    ...ofStorages.flat(),
    ...ofRoom.flat(),
    ...(await examineKeys(keys, context)),
  ]
  return {
    findings: worstFirst(findings),
    facts: factsOf(database, source.size, last),
    seconds: (performance.now() - startedAt) / 1000,
  }
}

/** What to exit with, by the worst of what was found; undefined where there are but notices. */
export function doctorFailure({ findings }: DoctorResult): PgstowError | undefined {
  const kind = failureKindOf(findings)
  if (kind === undefined) return undefined
  return new PgstowError(kind, `the doctor found ${countsOf(findings)}`, {
    hint: "Each is said above, with what puts it right.",
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
