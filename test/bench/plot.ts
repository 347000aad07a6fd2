import type { Stage, Summary } from "./run.ts"

// A card of its own, so that it can be read on any page, light or dark.
const colours = {
  card: "#ffffff",
  edge: "#d0d7de",
  text: "#1f2328",
  note: "#59636e",
  other: "#b6bec8",
  floor: "#818b98",
  ours: "#0969da",
}
const width = 860
const margin = 24
const labelWidth = 250
const barWidth = 330
const rowHeight = 24
const headHeight = 52

type Panel = {
  readonly title: string
  readonly bars: readonly Bar[]
}
type Bar = { readonly label: string; readonly value: number; readonly note: string; readonly colour: string }

/** A picture of the medians, in SVG: a panel of bars for each stage but that of memory. */
export function plot(summaries: readonly Summary[]): string {
  const panels = [
    panelOf(summaries, "backup", (gigabytes) => `Back up ${gigabytes} GB: seconds, less is better`),
    panelOf(summaries, "restore", (gigabytes) => `Restore ${gigabytes} GB: seconds, less is better`),
    scalingPanel(summaries),
  ].filter((panel) => panel.bars.length > 0)
  let top = margin - 10
  const drawn = panels.map((panel) => {
    const svg = drawPanel(panel, top)
    top += headHeight + panel.bars.length * rowHeight
    return svg
  })
  const height = top + margin
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Medians of the benchmark" font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif" font-size="13">
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="${colours.card}" stroke="${colours.edge}"/>
${drawn.join("\n")}
</svg>
`
}

function panelOf(summaries: readonly Summary[], stage: Stage, titleOf: (gigabytes: string) => string): Panel {
  const group = summaries.filter((summary) => summary.stage === stage)
  return {
    title: titleOf(((group[0]?.rawBytes ?? 0) / 1e9).toFixed(1)),
    bars: group.map((summary) => ({
      label: summary.title,
      value: summary.wallSeconds,
      note: [
        `${summary.wallSeconds.toFixed(1)} s`,
        `${(summary.clientCpuSeconds / (summary.rawBytes / 1e9)).toFixed(1)} CPU s/GB`,
        memory(summary.peakBytes),
      ].join(" · "),
      colour: colourOf(summary),
    })),
  }
}

/** The throughput, so that twice the streams should be twice the bar. */
function scalingPanel(summaries: readonly Summary[]): Panel {
  const group = summaries.filter(({ stage }) => stage === "limited")
  const alone = group.find(({ id }) => id === "pgstow-1")
  return {
    title: "Back up from a server that gives each connection a limited rate: MB/s, more is better",
    bars: group.map((summary) => {
      const rate = summary.rawBytes / 1e6 / summary.wallSeconds
      const speedUp = alone ? ` · ${(alone.wallSeconds / summary.wallSeconds).toFixed(2)} ×` : ""
      return {
        label: summary.title,
        value: rate,
        note: `${rate.toFixed(0)} MB/s${speedUp}`,
        colour: colourOf(summary),
      }
    }),
  }
}

function drawPanel({ title, bars }: Panel, top: number): string {
  const most = Math.max(...bars.map(({ value }) => value))
  const rows = bars.map(({ label, value, note, colour }, index) => {
    const y = top + headHeight + index * rowHeight
    const length = Math.max(1, (value / most) * barWidth)
    const x = margin + labelWidth
    const isOurs = colour === colours.ours
    return [
      text(
        x - 10,
        y + 13,
        label,
        `text-anchor="end" fill="${colours.text}"${isOurs ? ' font-weight="600"' : ""}`,
      ),
      `<rect x="${x}" y="${y}" width="${length.toFixed(1)}" height="${rowHeight - 7}" rx="2" fill="${colour}"/>`,
      text(x + length + 8, y + 13, note, `fill="${colours.note}" font-size="12"`),
    ].join("")
  })
  return [
    text(margin, top + 36, title, `fill="${colours.text}" font-weight="600" font-size="14"`),
    ...rows,
  ].join("\n")
}

function colourOf({ stage, id }: Summary): string {
  if (id.startsWith("pgstow")) return colours.ours
  return stage === "backup" && ["floor", "two-streams"].includes(id) ? colours.floor : colours.other
}

function memory(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${(bytes / 1024 ** 3).toFixed(1)} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`
}
