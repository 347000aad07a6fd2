import type { DatabaseStatus, StatusResult } from "../catalog/status.ts"

type Labels = Readonly<Record<string, string>>
type Sample = { readonly labels: Labels; readonly value: number | null | undefined }
type Metric = { readonly name: string; readonly help: string; readonly samples: readonly Sample[] }

/**
 * What `status` found as gauges in Prometheus' text format, without times of their own. What is not known has no sample.
 * Names are as they are, so on a terminal they are to be made safe.
 */
export function formatMetrics(result: StatusResult): string {
  return metricsOf(result)
    .map(({ name, help, samples }) => {
      // One sample twice makes all of a file worthless: of a storage that was given by two URLs the first counts.
      const lines = new Map<string, string>()
      for (const { labels, value } of samples) {
        const series = name + formatLabels(labels)
        if (value !== null && value !== undefined && !lines.has(series))
          lines.set(series, `${series} ${value}`)
      }
      return lines.size === 0
        ? ""
        : [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines.values(), ""].join("\n")
    })
    .join("")
}

function metricsOf({ databases, storages, unlisted }: StatusResult): Metric[] {
  const each = (
    name: string,
    help: string,
    measure: (database: DatabaseStatus) => Sample["value"],
  ): Metric => ({
    name: `pgstow_${name}`,
    help,
    samples: databases.map((database) => ({ labels: labelsOf(database), value: measure(database) })),
  })
  const isDown = (url: string) =>
    unlisted.some(({ storage, database }) => storage === url && database === null)
  const unread = unlisted.flatMap(({ storage, database }) =>
    database === null ? [] : [{ storage, database }],
  )
  return [
    {
      name: "pgstow_storage_up",
      help: "Whether the storage answered (1) or not (0).",
      samples: storages.map((storage) => ({ labels: { storage }, value: isDown(storage) ? 0 : 1 })),
    },
    {
      name: "pgstow_database_up",
      help: "Whether the database's backups could be read (1) or not (0): then nothing else is known of them.",
      samples: [
        ...databases.map((database) => ({ labels: labelsOf(database), value: 1 })),
        ...unread.map((place) => ({ labels: labelsOf(place), value: 0 })),
      ],
    },
    each("newest_backup_timestamp_seconds", "When the newest backup was started.", ({ measures }) =>
      secondsOf(measures.newest?.startedAt),
    ),
    each("newest_verified_backup_timestamp_seconds", "When the newest verified backup was started.", (one) =>
      secondsOf(one.startedAt),
    ),
    each(
      "newest_drilled_backup_timestamp_seconds",
      "When the newest backup was started whose last drill was good.",
      ({ measures }) => secondsOf(measures.newestDrilledAt),
    ),
    each("last_good_drill_timestamp_seconds", "When the last good drill ended.", ({ measures }) =>
      secondsOf(measures.lastGoodDrillAt),
    ),
    each("last_drill_success", "Whether the last drill was good (1) or failed (0).", ({ lastDrill }) =>
      lastDrill === null ? null : Number(lastDrill.kind === "drilled"),
    ),
    each(
      "backup_overdue",
      "Whether the newest verified backup is older than the limit of pgstow status.",
      (one) => Number(one.overdue),
    ),
    each(
      "newest_backup_duration_seconds",
      "How long the newest backup took.",
      ({ measures }) => measures.newest?.seconds,
    ),
    each(
      "newest_backup_stored_bytes",
      "What the newest backup takes up in the storage.",
      ({ measures }) => measures.newest?.storedBytes,
    ),
    each(
      "newest_backup_raw_bytes",
      "The newest backup's size before compression and encryption.",
      ({ measures }) => measures.newest?.rawBytes,
    ),
    each(
      "newest_backup_database_bytes",
      "The database's size on its server when the newest backup was made.",
      ({ measures }) => measures.newest?.sourceBytes,
    ),
    each(
      "newest_backup_rows",
      "About how many rows the largest tables of the newest backup had, by the server's statistics.",
      ({ measures }) => measures.newest?.rows,
    ),
    each(
      "stored_bytes",
      "What all backups of the database take up in the storage.",
      ({ measures }) => measures.storedBytes,
    ),
    {
      name: "pgstow_backups",
      help: "How many backups there are by what their last check found: failed ones are damaged.",
      samples: databases.flatMap((database) =>
        Object.entries(database.measures.count).map(([state, value]) => ({
          labels: { ...labelsOf(database), state },
          value,
        })),
      ),
    },
    each(
      "unreadable_backups",
      "How many backups have a manifest or checks that can't be read.",
      ({ measures }) => measures.unreadable,
    ),
    each(
      "future_backups",
      "How many backups are dated in the future, by a clock that is wrong.",
      ({ fromTheFuture }) => fromTheFuture.length,
    ),
  ]
}

function labelsOf({ database, storage }: { readonly database: string; readonly storage: string }): Labels {
  return { database, storage }
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return `{${pairs.join(",")}}`
}

/** As Prometheus' text format wants it; all other characters stand for themselves. */
function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
}

function secondsOf(time: string | null | undefined): number | null {
  return typeof time === "string" ? Date.parse(time) / 1000 : null
}
