import { escapeHtml, type Html, html, ownHtml } from "./html.ts"
import { clockOf, formatWhole, minuteOf, type Unit, unitFor } from "./in-words.ts"
import type { ReportedBackup, ReportedCopy } from "./report-data.ts"

/** The columns that trends are drawn of, by their places. */
export type TrendColumns = {
  readonly stored: number
  readonly took: number
  readonly rows: number
  readonly rate: number
}

export const trendColumns: TrendColumns = { stored: 2, took: 4, rows: 5, rate: 6 }

export type Units = { readonly stored: Unit; readonly raw: Unit; readonly rate: Unit }

export function unitsOf(backups: readonly ReportedBackup[]): Units {
  const unitOf = (value: (backup: ReportedBackup) => number | null) =>
    unitFor(backups.reduce((most, backup) => Math.max(most, value(backup) ?? 0), 0))
  return {
    stored: unitOf(({ storedBytes }) => storedBytes),
    raw: unitOf(({ rawBytes }) => rawBytes),
    rate: unitOf(rateOf),
  }
}

/** From how many seconds on a rate can be told. */
const shortestMeasured = 0.1

/** Bytes a second, before compression; null where it can't be told. */
export function rateOf({ rawBytes, seconds }: Pick<ReportedBackup, "rawBytes" | "seconds">): number | null {
  return rawBytes === null || seconds === null || seconds < shortestMeasured ? null : rawBytes / seconds
}

/**
 * All backups of a database. The page's script draws the trends from it, so that nothing is in the page twice. End tags
 * that HTML does without are left out: there may be ten thousand rows.
 */
export function backupsTable(
  id: string,
  database: string,
  backups: readonly ReportedBackup[],
  {
    several,
    hasPolicy,
    units,
  }: { readonly several: boolean; readonly hasPolicy: boolean; readonly units: Units },
): Html {
  const rows = backups.map((backup) => {
    const cells = [
      backup.startedAt === null ? "" : minuteOf(backup.startedAt),
      backup.storedBytes === null ? "" : units.stored.of(backup.storedBytes),
      backup.rawBytes === null ? "" : units.raw.of(backup.rawBytes),
      backup.seconds === null ? "" : clockOf(backup.seconds),
      backup.rows === null ? "" : formatWhole(backup.rows),
      orEmpty(rateOf(backup), units.rate.of),
      perCopy(backup.copies, stateInWords, several) +
        (backup.partial === null ? "" : `; partial: ${backup.partial}`),
      ...(several ? [backup.copies.map(({ storage }) => storage + 1).join(" ")] : []),
      ...(hasPolicy ? [perCopy(backup.copies, keptInWords, several)] : []),
    ]
    return `<tr><th>${escapeHtml(backup.id)}${cells.map((cell) => `<td>${escapeHtml(cell)}`).join("")}`
  })
  return html`<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-caption">
<table class="lookup backups" id="${id}"><caption id="${id}-caption">Backups of ${database}</caption>
<thead><tr><th scope="col" data-sort="text">Id<th scope="col" data-sort="text">Started, UTC<th scope="col" data-sort="number">Stored, ${units.stored.name}<th scope="col" data-sort="number">Raw, ${units.raw.name}<th scope="col" data-sort="text">Took<th scope="col" data-sort="number">Rows, about<th scope="col" data-sort="number">${units.rate.name}/s<th scope="col" data-sort="text">State${several ? html`<th scope="col" data-sort="text">In` : null}${hasPolicy ? html`<th scope="col" data-sort="text">Kept because` : null}
<tbody>
${ownHtml(rows.join("\n"))}
</table></div>`
}

/** What is the same of all copies once, else of each with the number of its storage. */
function perCopy(
  copies: readonly ReportedCopy[],
  tell: (copy: ReportedCopy) => string,
  several: boolean,
): string {
  const words = new Set(copies.map(tell))
  if (words.size === 1 || !several) return [...words].join("; ")
  return copies.map((copy) => `${copy.storage + 1}: ${tell(copy)}`).join("; ")
}

function stateInWords({ state, pinned }: ReportedCopy): string {
  return pinned ? `${state}, pinned` : state
}

function keptInWords({ kept }: ReportedCopy): string {
  if (kept === null) return ""
  const because = kept.because.join("; ")
  return kept.keep ? because : `goes next: ${because}`
}

function orEmpty(value: number | null, format: (value: number) => string): string {
  return value === null ? "" : format(value)
}
