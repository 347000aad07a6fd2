import * as z from "zod"
import {
  type CatalogEntry,
  isAheadOf,
  keyOf,
  listBackups,
  listDatabases,
  manifestName,
  newestVerified,
} from "../task/catalog/catalog.ts"
import { type Manifest, storedBytes } from "../task/core/manifest.ts"
import { openStorage } from "../task/storage/open-storage.ts"
import { lambdaHandler } from "./handler.ts"
import { putMetrics } from "./metrics.ts"
import { putRequest } from "./request.ts"

export const measureSettings = z.object({
  stack: z.string(),
  storage: z.string(),
  databases: z.array(z.string()),
  /** What the server is called whose databases are all that the storage has beside these. */
  server: z.string().optional(),
  /** Those of them that are drilled. */
  drilled: z.array(z.string()).default([]),
  eventBus: z.string(),
})

const hourMs = 60 * 60 * 1000
/** After which nobody may be verifying a backup any more: a function has 15 minutes. */
const unverifiedMs = hourMs

/**
 * Measures the newest verified backup of each database, as the storage has it. A database without one has no
 * measure: its alarm takes the silence for an alarm. A backup's age counts from its end, which is when the next one
 * is a day away, however long they take. A server that is backed up as a whole is as old as the newest backup of any
 * of its databases, since one that was dropped gets no more; their sizes and durations are added up.
 *
 * Of what is drilled, the age of the last good drill. Where there was none yet, or its finding went with its backup, it
 * counts from the oldest verified backup that there is and that nobody pinned: since then there could have been one.
 * Of a server, the last good drill of any of its databases: one of them at a time is drilled.
 *
 * A database that can't be listed keeps none of the others from being measured; this rejects after them.
 *
 * Has the newest backup verified where nobody did it: S3's event of its manifest may have come late, or never.
 */
export const handler = lambdaHandler(z.object({}), measureSettings, async (_, { settings, signal, env }) => {
  const { databases, drilled, eventBus, server, stack } = settings
  const storage = openStorage(settings.storage, { env, signal })
  try {
    const now = new Date()
    const measure = async (database: string): Promise<Measured> => {
      const backups = await listBackups(storage, database)
      const [newest] = backups
      if (newest?.manifest !== undefined && newest.state === "unverified") {
        const { finishedAt } = newest.manifest
        if (now.getTime() - Date.parse(finishedAt) > unverifiedMs)
          await putRequest(eventBus, {
            type: "Verify Backup",
            detail: { object: { key: keyOf(newest, manifestName) } },
          })
      }
      return { manifest: newestVerified(backups, now)?.manifest, drills: drillsOf(backups, now) }
    }
    const failures: unknown[] = []
    const measured = (database: string) =>
      measure(database).catch((failure: unknown) => {
        failures.push(failure)
        return {}
      })
    const put = (name: string, all: readonly Measured[]) =>
      putOut({ stack, name, isDrilled: drilled.includes(name) }, all, now)
    for (const database of databases) put(database, [await measured(database)])
    if (server !== undefined) {
      const all: Measured[] = []
      for (const database of await listDatabases(storage))
        if (!databases.includes(database)) all.push(await measured(database))
      put(server, all)
    }
    if (failures.length > 0) throw failures[0]
  } finally {
    storage.close()
  }
})

/** What there is to say of a database: of its newest verified backup, and of its drills. */
type Measured = { readonly manifest?: Manifest | undefined; readonly drills?: Drills }

/** When the last drill ended that was good, and since when there could have been one. */
type Drills = { readonly goodAt?: number | undefined; readonly possibleSince?: number | undefined }

function drillsOf(backups: readonly CatalogEntry[], now: Date): Drills {
  const good = backups
    .flatMap(({ findings }) => findings)
    // A drill that is dated in the future would hide that there is none since. A little is two clocks' difference.
    .filter(({ kind, at }) => kind === "drilled" && at.getTime() < now.getTime() + hourMs)
    .map(({ at }) => at.getTime())
  const verified = backups.filter((entry) => entry.state === "verified" && !isAheadOf(entry, now))
  // What is pinned stays for years, while the findings of the backups beside it come and go.
  const passing = verified.filter(({ pins = [] }) => pins.length === 0)
  const ends = (passing.length > 0 ? passing : verified).flatMap(({ manifest }) =>
    manifest ? [Date.parse(manifest.finishedAt)] : [],
  )
  return {
    goodAt: good.length > 0 ? Math.max(...good) : undefined,
    possibleSince: ends.length > 0 ? Math.min(...ends) : undefined,
  }
}

/** From when the age of the last good drill counts, of all that is drilled together. */
function drilledAt(all: readonly Drills[]): number | undefined {
  const good = all.flatMap(({ goodAt }) => goodAt ?? [])
  if (good.length > 0) return Math.max(...good)
  const since = all.flatMap(({ possibleSince }) => possibleSince ?? [])
  return since.length > 0 ? Math.min(...since) : undefined
}

type Named = { readonly stack: string; readonly name: string; readonly isDrilled: boolean }

/** Puts out what there is to say of a database, or of the databases of a server. */
function putOut({ stack, name, isDrilled }: Named, all: readonly Measured[], now: Date): void {
  const manifests = all.flatMap(({ manifest }) => manifest ?? [])
  if (manifests.length === 0) return
  const sum = (numberOf: (manifest: Manifest) => number) =>
    manifests.reduce((total, manifest) => total + numberOf(manifest), 0)
  const hoursSince = (time: number) => (now.getTime() - time) / hourMs
  const drilled = isDrilled ? drilledAt(all.map(({ drills = {} }) => drills)) : undefined
  putMetrics(
    { Stack: stack, Database: name },
    {
      BackupAgeHours: Math.min(...manifests.map(({ finishedAt }) => hoursSince(Date.parse(finishedAt)))),
      BackupSize: sum(storedBytes),
      BackupDuration: sum(
        ({ startedAt, finishedAt }) => (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000,
      ),
      ...(drilled === undefined ? {} : { DrillAgeHours: Math.max(0, hoursSince(drilled)) }),
    },
    now,
  )
}
