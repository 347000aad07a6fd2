import { mkdtempSync, readFileSync } from "node:fs"
import { rm, stat } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { type Browser, chromium, type Page } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { findChromium } from "../support/chromium.ts"
import { notRun } from "../support/not-run.ts"
import { peakMemory } from "../support/peak-memory.ts"
import { runPgstow, startPgstow } from "../support/pgstow.ts"
import { type Found, forgeHistory } from "./forge-history.ts"

const executablePath = await findChromium()
const needsChromium = notRun(executablePath !== undefined, "there is no Chromium on this machine")
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

const newest = new Date(Date.now() - 3 * 3_600_000)

let folder: string
let page: string
let browser: Browser
beforeAll(async () => {
  if (executablePath === undefined) return
  folder = mkdtempSync(join(tmpdir(), "pgstow-browser-"))
  page = join(folder, "report.html")
  const [one, other] = [join(folder, "one"), join(folder, "other")]
  for (const root of [one, other]) {
    forgeHistory({ root, database: "orders", newest, backups: 400, found: ordersFound })
    forgeHistory({ root, database: "weekly", newest, backups: 30, every: 7, storedBytes: 40_000_000 })
  }
  forgeHistory({ root: one, database: `a <b>"long"</b> name ${"x".repeat(80)}`, newest, backups: 2, rows: 7 })
  const env = { PGSTOW_STORAGE: `file://${one} file://${other}`, PGSTOW_KEEP_DAILY: "390" }
  expect((await runPgstow(["report", "--out", page], env)).exitCode).toBe(0)
  browser = await chromium.launch({ executablePath })
})
afterAll(async () => {
  if (executablePath === undefined) return
  await browser.close()
  await rm(folder, { recursive: true })
})

/** One of each kind of night, and drills every week. */
function ordersFound(age: number): Found {
  const kinds: Readonly<Record<number, Found>> = {
    2: "failed",
    9: "nothing",
    11: "no manifest",
    24: "drill-failed",
  }
  return kinds[age] ?? (age % 7 === 3 ? "drilled" : age % 41 === 40 ? "unverified" : "verified")
}

async function opened(
  file: string,
  options: {
    readonly width: number
    readonly colorScheme?: "light" | "dark"
    readonly javaScriptEnabled?: boolean
  },
): Promise<{ readonly tab: Page; readonly said: string[] }> {
  const { width, ...more } = options
  const context = await browser.newContext({ viewport: { width, height: 900 }, ...more })
  const tab = await context.newPage()
  const said: string[] = []
  tab.on("console", (message) => said.push(message.text()))
  tab.on("pageerror", ({ message }) => said.push(message))
  tab.on("requestfailed", (request) => said.push(`failed: ${request.url()}`))
  await tab.goto(pathToFileURL(file).href)
  return { tab, said }
}

/** All of it on the screen at once, so that every trend is drawn. */
async function laidOut(tab: Page): Promise<void> {
  const height = await tab.evaluate<number>(`
    for (const { style } of document.querySelectorAll("section.database")) style.contentVisibility = "visible"
    document.documentElement.scrollHeight`)
  await tab.setViewportSize({ width: tab.viewportSize()?.width ?? 800, height })
  // Not by the page itself, whose policy forbids it to wait for an expression.
  const areDrawn = `[...document.querySelectorAll("canvas")].every(({ style, width }) => style.display === "block" && width > 0)`
  await expect.poll(() => tab.evaluate<boolean>(areDrawn), { timeout: 30_000 }).toBe(true)
}

for (const width of [375, 800, 1400])
  for (const colorScheme of ["light", "dark"] as const)
    test.skipIf(needsChromium)(
      `at ${width} pixels, ${colorScheme}, nothing overflows, nothing is complained of, axe finds nothing${needsChromium}`,
      async () => {
        const { tab, said } = await opened(page, { width, colorScheme })
        await laidOut(tab)
        expect(await tab.evaluate("document.documentElement.scrollWidth")).toBe(width)
        // The page's policy allows no script but its own: by the debugger it gets in all the same.
        const violations: unknown = await tab.evaluate(
          `${axe}; axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.length, nodes[0].html]))`,
        )
        expect(violations).toEqual([])
        expect(said).toEqual([])
        await tab.context().close()
      },
    )

test.skipIf(needsChromium)(`a table is filtered, sorted and paged by keyboard${needsChromium}`, async () => {
  const { tab } = await opened(page, { width: 1400 })
  const section = tab.locator("section", { has: tab.getByRole("heading", { name: "orders", exact: true }) })
  const table = section.locator("table.backups")
  const rows = table.locator("tbody tr")
  const count = section.locator("h3:text('All backups') + .pager output")
  expect(await rows.count()).toBe(25)
  expect(await count.textContent()).toBe("1 to 25 of 398")

  await section.getByLabel("Filter").last().fill("drill-failed")
  expect(await rows.count()).toBe(1)
  expect(await count.textContent()).toBe("1 to 1 of 1")
  await section.getByLabel("Filter").last().fill("nothing like it")
  expect(await count.textContent()).toBe("none")
  await section.getByLabel("Filter").last().fill("")

  const size = table.getByRole("columnheader", { name: /Stored/ })
  const sizes = async () => (await rows.locator("td:nth-child(3)").allTextContents()).map(Number)
  await size.getByRole("button").press("Enter")
  expect(await size.getAttribute("aria-sort")).toBe("descending")
  const falling = await sizes()
  expect(falling).toEqual(falling.toSorted((a, b) => b - a))
  await size.getByRole("button").press("Enter")
  expect(await size.getAttribute("aria-sort")).toBe("ascending")
  const rising = await sizes()
  expect(rising).toEqual(rising.toSorted((a, b) => a - b))
  expect(rising[0]).toBeLessThan(falling.at(-1) ?? 0)

  await section.getByRole("button", { name: /^Next: Backups/ }).press("Enter")
  expect(await count.textContent()).toBe("26 to 50 of 398")
  await tab.context().close()
})

test.skipIf(needsChromium)(`each trend is drawn from its table${needsChromium}`, async () => {
  const { tab } = await opened(page, { width: 1400 })
  await laidOut(tab)
  const inked = await tab.evaluate(
    `[...document.querySelectorAll("canvas")].map((canvas) =>
      canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))`,
  )
  // Five of orders, with drills; four of each other.
  expect(inked).toEqual(Array.from({ length: 13 }, () => true))
  await tab.context().close()
})

test.skipIf(needsChromium)(
  `without scripts every backup is in the table, and each night has its sign${needsChromium}`,
  async () => {
    const { tab } = await opened(page, { width: 800, javaScriptEnabled: false })
    expect(await tab.locator("table.backups tbody tr").count()).toBe(398 + 30 + 2)
    expect(await tab.locator("table.lookup button").count()).toBe(0)
    for (const sign of ["d", "v", "g", "f", "m"])
      expect(await tab.locator(`.month td.${sign}`).count()).toBeGreaterThan(0)
    await tab.context().close()
  },
)

test.skipIf(needsChromium)(
  `it prints every database, light, on paper of its width${needsChromium}`,
  async () => {
    const { tab } = await opened(page, { width: 1400, colorScheme: "dark" })
    const pdf = await tab.pdf({ format: "A4" })
    const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g) ?? []
    expect(pages.length).toBeGreaterThanOrEqual(4)
    expect(pages.length).toBeLessThan(20)
    await tab.context().close()
  },
)

test.skipIf(needsChromium)(
  `ten databases of a thousand backups each make a page of 2 MB in 200 MiB${needsChromium}`,
  async () => {
    const root = join(folder, "many")
    for (let index = 0; index < 10; index += 1)
      forgeHistory({
        root,
        database: `database_${index}`,
        newest,
        backups: 1000,
        found: (age) => (age % 7 === 3 ? "drilled" : "verified"),
      })
    const out = join(folder, "many.html")
    const began = process.hrtime.bigint()
    const { finished, peakBytes } = await peakMemory(
      startPgstow(["report", "--out", out, "--keep-daily", "30", "--keep-monthly", "40"], {
        PGSTOW_STORAGE: `file://${root}`,
      }),
    )
    const seconds = Number(process.hrtime.bigint() - began) / 1e9
    expect(finished.exitCode).toBe(0)
    const { size } = await stat(out)
    const { tab, said } = await opened(out, { width: 1400 })
    const readyMs = await tab.evaluate<number>(
      `performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd`,
    )
    // How long it takes depends on who else uses the machine, and is only printed.
    console.log(
      `${seconds.toFixed(1)} s, ${Math.round(peakBytes / 2 ** 20)} MiB, ${size} bytes, ready in ${Math.round(readyMs)} ms`,
    )
    expect(size).toBeLessThanOrEqual(2_000_000)
    expect(peakBytes).toBeLessThanOrEqual(200 * 2 ** 20)
    expect(said).toEqual([])
    await tab.context().close()
  },
  180_000,
)
