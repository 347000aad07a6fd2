/** What the report's page does in a browser. Without it, the page is all there but for the trends. */
import "./report.css"
import { drawTrends } from "./draw-trends.ts"
import { lookUp } from "./look-up.ts"
import { nameNights } from "./name-nights.ts"

const tables = new Map(
  [...document.querySelectorAll<HTMLTableElement>("table.lookup")].map((table) => [
    table.id,
    [...(table.tBodies[0]?.rows ?? [])],
  ]),
)
for (const [id, rows] of tables) lookUp(id, rows)
drawTrends(tables)
nameNights()
document.documentElement.classList.add("scripted")
