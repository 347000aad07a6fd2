import { ageInWords, formatBytes, formatCount, formatDuration } from "../console/format.ts"
import { dollarsPerGigabyteMonth } from "../core/s3-standard-price.ts"
import { backupsTable, rateOf, trendColumns, type Units, unitsOf } from "./backups-table.ts"
import { calendar } from "./calendar.ts"
import { trendDays } from "./growth.ts"
import { type Html, html } from "./html.ts"
import { changeInWords, clockOf, formatDollars, formatWhole, minuteOf, policyInWords } from "./in-words.ts"
import { keptOf } from "./kept.ts"
import type { Aged, DatabaseReport, ReportData, ReportedBackup } from "./report-data.ts"

/** Everything about one database. `id` is that of its heading, and what other ids in it begin with. */
export function databaseSection(id: string, report: DatabaseReport, data: ReportData): Html {
  const { database, backups, nights, problems } = report
  const several = data.storages.length > 1
  const units = unitsOf(backups)
  return html`<section class="database" aria-labelledby="${id}">
<h2 id="${id}">${database}</h2>
${headlines(report, data.maxAgeHours)}
<h3>Nights</h3>
${calendar(nights)}
${data.policy === null ? html`<p class="note">No retention policy was given: days whose backups cleanup removed count as missing, too.</p>` : null}
${trends(id, report, units)}
<div class="pair"><div>${retention(report, data)}</div><div>${outlook(report, data)}</div></div>
<h3>Last problems</h3>
${problems.length === 0 ? html`<p>None is known.</p>` : problemsTable(report, several)}
${drillsTable(id, report, several)}
<h3>All backups</h3>
${backupsTable(`${id}-backups`, database, backups, { several, hasPolicy: data.policy !== null, units })}
</section>`
}

function headlines(
  { backups, newest, newestVerified, newestDrilled, overdue, drills, outlook: { keptBytes } }: DatabaseReport,
  maxAgeHours: number,
): Html {
  const byId = new Map(backups.map((backup) => [backup.id, backup]))
  const sizeOf = (aged: Aged) => byId.get(aged.id)?.storedBytes ?? null
  const tile = (title: string, aged: Aged | null, more: string, tone: string | null = null) =>
    html`<div${tone === null ? null : html` class="${tone}"`}><dt>${title}</dt><dd>${aged === null ? "none" : `${ageInWords(aged.ageHours)} ago`}</dd><dd class="more">${aged === null ? more : html`<span>${minuteOf(aged.startedAt)}</span>${more === "" ? "" : ", "}${more}`}</dd></div>`
  const size = newest === null ? null : sizeOf(newest)
  const seconds = drills.find(({ id, good }) => good && id === newestDrilled?.id)?.restoreSeconds ?? null
  const tooOld = newestVerified === null ? "overdue" : `older than ${maxAgeHours} h: overdue`
  const late = overdue ? tooOld : ""
  const measured = seconds === null ? "" : `restored in ${formatDuration(seconds)}`
  const restored = newestDrilled === null ? "no restore was ever tested" : measured
  return html`<dl class="tiles">
${tile("Newest backup", newest, size === null ? "" : formatBytes(size))}
${tile("Newest verified", newestVerified, late, overdue ? "bad" : null)}
${tile("Newest drilled", newestDrilled, restored)}
<div><dt>Kept</dt><dd>${formatBytes(keptBytes)}</dd><dd class="more">of ${formatCount(backups.length, "backup")}</dd></div>
</dl>`
}

function trends(id: string, { backups, drills }: DatabaseReport, units: Units): Html {
  const valuesOf = (value: (backup: ReportedBackup) => number | null) =>
    backups.flatMap((backup) => {
      const found = value(backup)
      return backup.startedAt === null || found === null ? [] : [{ at: backup.startedAt, value: found }]
    })
  const restores = drills.flatMap(({ at, restoreSeconds }) =>
    restoreSeconds === null ? [] : [{ at, value: restoreSeconds }],
  )
  const charts = [
    {
      title: "Stored size",
      values: valuesOf(({ storedBytes }) => storedBytes),
      format: formatBytes,
      table: "backups",
      column: trendColumns.stored,
      unit: units.stored.name,
    },
    {
      title: "Duration",
      values: valuesOf(({ seconds }) => seconds),
      format: formatDuration,
      table: "backups",
      column: trendColumns.took,
      unit: "time",
    },
    {
      title: "Rows",
      values: valuesOf(({ rows }) => rows),
      format: formatWhole,
      table: "backups",
      column: trendColumns.rows,
      unit: "",
    },
    {
      title: "Rate",
      values: valuesOf(rateOf),
      format: (rate: number) => `${formatBytes(rate)}/s`,
      table: "backups",
      column: trendColumns.rate,
      unit: `${units.rate.name}/s`,
    },
    {
      title: "Restore, in drills",
      values: restores,
      format: formatDuration,
      table: "drills",
      column: 2,
      unit: "time",
    },
  ].filter(({ values }) => values.length > 1)
  if (charts.length === 0) return html``
  return html`<h3>Trends</h3>
<div class="charts">${charts.map(({ title, values, format, table, column, unit }) => {
    const [newest] = values
    const numbers = values.map(({ value }) => value)
    const least = format(numbers.reduce((a, b) => Math.min(a, b)))
    const most = format(numbers.reduce((a, b) => Math.max(a, b)))
    const change = changeInWords(values, 30)
    return html`<figure><figcaption><span class="what">${title}</span> <span class="value">${newest === undefined ? "" : format(newest.value)}</span> ${change === null ? null : html`<span class="change">${change}</span>`}</figcaption>
<div class="plot"><canvas role="img" aria-label="${title}: ${formatCount(values.length, "value")} from ${least} to ${most}" data-table="${id}-${table}" data-column="${column}" data-unit="${unit}"></canvas></div><p class="range">${least} to ${most}</p></figure>`
  })}</div>`
}

function retention({ backups }: DatabaseReport, { policy }: ReportData): Html {
  if (policy === null)
    return html`<h3>What is kept</h3><p>All of it: no retention policy was given (<code>PGSTOW_KEEP_DAILY</code> and the like, or <code>--keep-daily</code>).</p>`
  const { rules, kept, keptBytes, goes, goesBytes } = keptOf(backups)
  return html`<h3>What is kept</h3>
<p>The policy keeps ${policyInWords(policy)}: ${formatCount(kept, "backup")}, ${formatBytes(keptBytes)}. ${goes === 0 ? "The next cleanup removes nothing." : `The next cleanup removes ${formatCount(goes, "backup")}, ${formatBytes(goesBytes)}.`}</p>
${
  rules.length === 0
    ? null
    : html`<table class="plain"><caption>Backups by the rule that keeps them</caption><thead><tr><th scope="col">Kept because<th scope="col" class="n">Backups<th scope="col">Oldest<th scope="col" class="n">Stored<tbody>${rules.map(
        ({ rule, backups: count, oldest, bytes }) =>
          html`<tr><th scope="row">${rule}<td class="n">${count}<td class="t">${oldest === null ? "" : oldest.slice(0, 10)}<td class="n">${formatBytes(bytes)}`,
      )}</table>`
}`
}

function outlook(
  { outlook: { keptBytes, dollarsPerMonth, growth } }: DatabaseReport,
  { policy }: ReportData,
): Html {
  const row = (when: string, backupBytes: number | null, bytes: number, dollars: number) =>
    html`<tr><th scope="row">${when}<td class="n">${backupBytes === null ? "" : formatBytes(backupBytes)}<td class="n">${formatBytes(bytes)}<td class="n">${formatDollars(dollars)}`
  const sign = (bytes: number) =>
    bytes < 0 ? `shrinks by ${formatBytes(-bytes)}` : `grows by ${formatBytes(bytes)}`
  return html`<h3>What comes</h3>
<p>${
    growth === null
      ? "There is too little yet to tell how it grows."
      : `By a straight line through the last ${trendDays} days, a backup ${sign(growth.bytesPerDay)} a day. ${policy === null ? "With every backup kept:" : "With as many backups kept as now:"}`
  }</p>
<table class="plain"><caption>Size and cost of all copies</caption><thead><tr><th scope="col">When<th scope="col" class="n">A backup<th scope="col" class="n">All<th scope="col" class="n">A month<tbody>
${row("now", null, keptBytes, dollarsPerMonth)}${(growth?.ahead ?? []).map(({ days, backupBytes, keptBytes: bytes, dollarsPerMonth: dollars }) => row(days === 365 ? "in a year" : `in ${days} days`, backupBytes, bytes, dollars))}</table>
<p class="note">The cost is that of S3 Standard in us-east-1, wherever they are: $${dollarsPerGigabyteMonth} a GB and month, list price of 2025.</p>`
}

function problemsTable({ database, problems }: DatabaseReport, several: boolean): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Last problems of ${database}"><table class="plain problems"><caption class="out">Last problems of ${database}</caption><thead><tr><th scope="col">When, UTC<th scope="col">Backup${several ? html`<th scope="col">In` : null}<th scope="col">What<tbody>${problems.map(
    ({ at, id, storages, what }) =>
      html`<tr><td class="t">${at === null ? "" : minuteOf(at)}<th scope="row" class="t">${id}${several ? html`<td>${storages.map((storage) => storage + 1).join(" ")}` : null}<td>${what}`,
  )}</table></div>`
}

function drillsTable(id: string, { database, drills }: DatabaseReport, several: boolean): Html {
  if (drills.length === 0) return html``
  return html`<h3>Drills</h3>
<div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-drills-caption"><table class="lookup drills" id="${id}-drills" data-rows="8"><caption id="${id}-drills-caption">Drills of ${database}</caption><thead><tr><th scope="col" data-sort="text">Backup<th scope="col" data-sort="text">When, UTC<th scope="col" data-sort="text">Restore took<th scope="col" data-sort="number">Rows<th scope="col" data-sort="text">Server<th scope="col" data-sort="text">Result${several ? html`<th scope="col" data-sort="text">In` : null}<tbody>${drills.map(
    (drill) =>
      html`<tr><th>${drill.id}<td>${minuteOf(drill.at)}<td>${drill.restoreSeconds === null ? "" : clockOf(drill.restoreSeconds)}<td>${drill.rows === null ? "" : formatWhole(drill.rows)}<td>${drill.server ?? ""}<td>${drill.good ? "drilled" : "drill-failed"}${several ? html`<td>${drill.storage + 1}` : null}`,
  )}</table></div>`
}
