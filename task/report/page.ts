import { createHash } from "node:crypto"
import { placeInWords } from "../catalog/list.ts"
import { ageInWords, formatBytes, formatCount } from "../console/format.ts"
import { databaseSection } from "./database-section.ts"
import { type Html, html, ownHtml } from "./html.ts"
import { formatDollars, minuteOf, policyInWords } from "./in-words.ts"
import { markOfState } from "./mark.ts"
import type { PageAssets } from "./page-assets.ts"
import type { DatabaseReport, ReportData } from "./report-data.ts"

/** What every page begins with: by it a file is known as one that may be replaced by a newer one. */
export const pageStart = '<!doctype html>\n<html lang="en" data-pgstow="report">'

/** The report as one HTML page that asks nothing of any network: its policy of content forbids it to. */
export function makePage(data: ReportData, { script, style }: PageAssets): string {
  const contentPolicy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    // So that a server that serves the page is not asked for an icon.
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ")
  const { html: text } = html`${ownHtml(pageStart)}
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${contentPolicy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>Backups, ${minuteOf(data.madeAt)} UTC</title>
<style>${ownHtml(style)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the databases</a>
<header>
<h1>Backups</h1>
<p>${minuteOf(data.madeAt)} UTC, by ${data.by}. All times are UTC. ${data.policy === null ? null : `Retention${data.limitsVary ? ", of databases without their own" : ""}: ${policyInWords(data.policy)}.`}</p>
<ol class="storages">${data.storages.map((url) => html`<li><code>${url}</code>`)}</ol>
</header>
<main id="main" tabindex="-1">
${unread(data)}
${overview(data)}
${data.databases.map((report, index) => databaseSection(idOf(index), report, data))}
</main>
<footer><p>A backup exists when its manifest exists. What this page says of bytes was found by <code>verify</code>, of restores by <code>drill</code>.</p></footer>
<script>${ownHtml(script)}</script>
</body>
</html>
`
  return text
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`
}

const idOf = (index: number) => `database-${index + 1}`

/** What is not in the page, since it could not be read. */
function unread({ unlisted, empty }: ReportData): Html {
  const lines = [
    ...unlisted.map((place) => `Not listed: ${placeInWords(place)}`),
    ...empty.map(({ why }) => `Nothing there: ${why}`),
  ]
  if (lines.length === 0) return html``
  return html`<section class="unread" aria-labelledby="unread"><h2 id="unread">Not all could be read</h2><ul>${lines.map((line) => html`<li>${line}`)}</ul></section>`
}

function overview({ databases, maxAgeHours, limitsVary }: ReportData): Html {
  const age = (aged: DatabaseReport["newest"]) => (aged === null ? "none" : ageInWords(aged.ageHours))
  const late = databases.filter(({ overdue }) => overdue).length
  const young = limitsVary ? "that is as young as it should be" : `of the last ${maxAgeHours} hours`
  return html`<section aria-labelledby="overview"><h2 id="overview">Databases</h2>
<p>${formatCount(databases.length, "database")}. ${late === 0 ? `Each has a verified backup ${young}.` : `Without a verified backup ${young}: ${late}.`}</p>
<div class="scroll" tabindex="0" role="region" aria-label="Databases, in short"><table class="plain overview"><caption class="out">Databases, in short</caption><thead><tr><th scope="col">Database<th scope="col">Status<th scope="col" class="n">Newest<th scope="col" class="n">Verified<th scope="col" class="n">Drilled<th scope="col" class="n">Backups<th scope="col" class="n">Damaged<th scope="col" class="n">Kept<th scope="col" class="n">In a year<th scope="col" class="n">A month<tbody>
${databases.map((report, index) => {
  const { outlook } = report
  const year = outlook.growth?.ahead.find(({ days }) => days === 365)
  const damaged = report.backups.filter(({ copies }) =>
    copies.some(({ state }) => markOfState[state] === "failed"),
  ).length
  return html`<tr><th scope="row"><a href="#${idOf(index)}">${report.database}</a><td>${report.overdue ? html`<span class="flag bad">overdue</span>` : damaged > 0 ? html`<span class="flag warn">look</span>` : html`<span class="flag ok">ok</span>`}<td class="n">${age(report.newest)}<td class="n">${age(report.newestVerified)}<td class="n">${age(report.newestDrilled)}<td class="n">${report.backups.length}<td class="n">${damaged}<td class="n">${formatBytes(outlook.keptBytes)}<td class="n">${year === undefined ? "" : formatBytes(year.keptBytes)}<td class="n">${formatDollars(outlook.dollarsPerMonth)}`
})}</table></div></section>`
}
