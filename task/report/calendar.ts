import { formatCount } from "../console/format.ts"
import { type Html, html, ownHtml } from "./html.ts"
import type { Mark } from "./mark.ts"
import type { Night } from "./report-data.ts"

/** The letter is the class by which the style gives a mark its sign and its colour. */
const words: Readonly<Record<Exclude<Mark, "none">, { readonly letter: string; readonly means: string }>> = {
  drilled: { letter: "d", means: "restored and compared" },
  verified: { letter: "v", means: "verified" },
  good: { letter: "g", means: "whole, not verified" },
  failed: { letter: "f", means: "failed or damaged" },
  missing: { letter: "m", means: "missing" },
}
const known = Object.entries(words) as [Exclude<Mark, "none">, { letter: string; means: string }][] // Its own keys.

const monthName = new Intl.DateTimeFormat("en", { month: "short", year: "numeric", timeZone: "UTC" })
const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

/** A small table for each month, with a sign for each night; and how many there are of each, in words. */
export function calendar(nights: readonly Night[]): Html {
  const count = Map.groupBy(nights, ({ mark }) => mark)
  const months = Map.groupBy(nights, ({ day }) => day.slice(0, 7))
  const missing = daysInWords(count.get("missing") ?? [])
  const failed = daysInWords(count.get("failed") ?? [])
  return html`<ul class="legend">${known.map(
    ([mark, { letter, means }]) =>
      html`<li><span class="sign ${letter}" aria-hidden="true"></span>${means} <b>${count.get(mark)?.length ?? 0}</b>`,
  )}</ul>
${failed === "" ? null : html`<p class="days">Failed or damaged: ${failed}</p>`}
${missing === "" ? null : html`<p class="days">Missing: ${missing}</p>`}
<div class="months">${[...months].map(([month, days]) => monthTable(month, days))}</div>`
}

function monthTable(month: string, nights: readonly Night[]): Html {
  const first = new Date(`${month}-01T00:00:00Z`)
  const markOf = new Map(nights.map(({ day, mark }) => [Number(day.slice(8)), mark]))
  const before = (first.getUTCDay() + 6) % 7
  const length = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate()
  const cells = [
    ...(before > 0 ? [`<td colspan=${before}>`] : []),
    ...Array.from({ length }, (_, index) => {
      const mark = markOf.get(index + 1) ?? "none"
      return `${(before + index) % 7 === 0 && index > 0 ? "<tr>" : ""}<td${mark === "none" ? "" : ` class=${words[mark].letter}`}>${index + 1}`
    }),
  ]
  const heads = weekdays.map((day) => `<th scope=col abbr=${day}>${day.slice(0, 1)}`)
  return html`<table class="month"><caption>${monthName.format(first)}</caption>${ownHtml(`<thead><tr>${heads.join("")}<tbody><tr>${cells.join("")}`)}</table>`
}

const rangesNamed = 8
const dayMs = 24 * 60 * 60 * 1000

/** "2026-01-05, 2026-01-08 to 2026-01-10": the last of them. */
function daysInWords(nights: readonly Night[]): string {
  const ranges: { from: string; to: string }[] = []
  for (const { day } of nights) {
    const last = ranges.at(-1)
    if (last && Date.parse(day) - Date.parse(last.to) === dayMs) last.to = day
    else ranges.push({ from: day, to: day })
  }
  const named = ranges
    .slice(-rangesNamed)
    .toReversed()
    .map(({ from, to }) => (from === to ? from : `${from} to ${to}`))
  const others = ranges.length - named.length
  return [...named, ...(others > 0 ? [`and ${formatCount(others, "time")} before`] : [])].join(", ")
}
