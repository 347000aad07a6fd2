// Opens a legacy file with a key; prints the bytes that came out of it and the most memory that took.
import { openLegacy } from "../../task/legacy/open-legacy.ts"
import { recognise } from "../../task/legacy/recognise.ts"

const [path = "", key = ""] = process.argv.slice(2)
let openedBytes = 0
for await (const chunk of openLegacy(await recognise(path), { emiti: key })) openedBytes += chunk.length
const peakBytes = process.resourceUsage().maxRSS * 1024
console.log(`${openedBytes} ${peakBytes}`)
