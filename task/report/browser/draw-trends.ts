/**
 * Chart.js draws the trends: alive (its last release is of October 2026), without a dependency but its own colours, by
 * canvas and so without inline styles, which the page's policy forbids; of it, what lines need is 150 KB. uPlot would be
 * 50 KB, but has had no release for over a year; Observable Plot puts a style element of its own into each chart.
 */
import { Chart, LinearScale, LineController, LineElement, PointElement, Tooltip } from "chart.js"
import { durationStep, formatSeconds, secondsOf, timeTicks } from "./axes.ts"

Chart.register(LinearScale, LineController, LineElement, PointElement, Tooltip)
Chart.defaults.animation = false
Chart.defaults.font.family = "system-ui, sans-serif"
Chart.defaults.font.size = 11

type Point = { x: number; y: number }
type Trend = Chart<"line", Point[]>

/** Where the time stands in the tables that trends are drawn of. */
const timeColumn = 1
const dots = 40

/** Draws each trend when it comes into sight, out of the rows of its table. */
export function drawTrends(tables: ReadonlyMap<string, readonly HTMLTableRowElement[]>): void {
  const drawn = new Map<HTMLCanvasElement, Trend>()
  const canvases = [...document.querySelectorAll<HTMLCanvasElement>("canvas[data-table]")]
  const draw = (canvas: HTMLCanvasElement) => {
    if (drawn.has(canvas)) return
    drawn.set(canvas, trendOf(canvas, tables.get(canvas.dataset.table ?? "") ?? []))
  }
  const colourAll = () => {
    for (const trend of drawn.values()) {
      colour(trend)
      trend.update("none")
    }
  }
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting && target instanceof HTMLCanvasElement) {
          sight.unobserve(target)
          draw(target)
        }
    },
    { rootMargin: "300px" },
  )
  for (const canvas of canvases) sight.observe(canvas)
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colourAll)
  addEventListener("beforeprint", () => {
    // Paper is light, whatever the screen is.
    document.documentElement.classList.add("printing")
    for (const canvas of canvases) draw(canvas)
    colourAll()
    for (const trend of drawn.values()) trend.resize()
  })
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing")
    colourAll()
  })
}

function trendOf(canvas: HTMLCanvasElement, rows: readonly HTMLTableRowElement[]): Trend {
  const column = Number(canvas.dataset.column)
  const unit = canvas.dataset.unit ?? ""
  const isTime = unit === "time"
  const points = rows
    .flatMap((row) => {
      const [time, text] = [row.cells[timeColumn]?.textContent, row.cells[column]?.textContent]
      if (!time || !text) return []
      return [
        {
          x: Date.parse(`${time.replace(" ", "T")}Z`),
          y: isTime ? secondsOf(text) : Number(text.replaceAll(",", "")),
        },
      ]
    })
    .sort((a, b) => a.x - b.x)
  const tell = (value: number) =>
    isTime
      ? formatSeconds(value)
      : `${value.toLocaleString("en", { maximumFractionDigits: 1, notation: value >= 100_000 ? "compact" : "standard" })}${unit === "" ? "" : ` ${unit}`}`
  const trend = new Chart<"line", Point[]>(canvas, {
    type: "line",
    data: {
      datasets: [
        { data: points, borderWidth: 1.5, pointRadius: points.length <= dots ? 2 : 0, pointHitRadius: 8 },
      ],
    },
    options: {
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: "nearest", axis: "x", intersect: false },
      plugins: {
        tooltip: {
          displayColors: false,
          callbacks: {
            title: ([item]) => new Date(item?.parsed.x ?? 0).toISOString().slice(0, 16).replace("T", " "),
            label: ({ parsed }) => tell(parsed.y ?? 0),
          },
        },
      },
      scales: {
        x: {
          type: "linear",
          min: points[0]?.x,
          max: points.at(-1)?.x,
          grid: { display: false },
          afterBuildTicks: (axis) => {
            axis.ticks = timeTicks(axis.min, axis.max).map(({ value }) => ({ value }))
          },
          ticks: {
            autoSkip: false,
            maxRotation: 0,
            callback(value) {
              return timeTicks(this.min, this.max).find((tick) => tick.value === value)?.label ?? ""
            },
          },
        },
        y: {
          beginAtZero: true,
          border: { display: false },
          ticks: {
            maxTicksLimit: 4,
            ...(isTime ? { stepSize: durationStep(Math.max(...points.map(({ y }) => y))) } : {}),
            callback: (value) => (value === 0 ? "0" : tell(Number(value))),
          },
        },
      },
    },
  })
  colour(trend)
  trend.update("none")
  return trend
}

/** Canvas knows no variables of the style: they are read for it. */
function colour(trend: Trend): void {
  const style = getComputedStyle(document.documentElement)
  const [line, muted, grid] = ["--accent", "--muted", "--line"].map((name) =>
    style.getPropertyValue(name).trim(),
  )
  for (const dataset of trend.data.datasets) {
    dataset.borderColor = line
    dataset.backgroundColor = line
    dataset.pointBackgroundColor = line
  }
  for (const axis of Object.values(trend.options.scales ?? {})) {
    if (axis === undefined) continue
    axis.ticks = { ...axis.ticks, color: muted }
    axis.grid = { ...axis.grid, color: grid }
  }
}
