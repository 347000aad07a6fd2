import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { afterEach, beforeEach, expect, inject, test } from "vitest"
import { bundlePage } from "../../task/build/bundle-page.ts"
import { putCheck } from "../../task/catalog/catalog.ts"
import { collect } from "../../task/report/collect.ts"
import { makePage } from "../../task/report/page.ts"
import type { Storage } from "../../task/storage/storage.ts"
import { testContext } from "../support/context.ts"
import { storeSample } from "../support/sample-backup.ts"
import { type Storages, startFileStorages } from "../support/storage-kinds.ts"

const id = "20260101T030000Z-aaaaaaaa"
const now = () => new Date("2026-01-03T05:00:00Z")
const assets = bundlePage()

let storages: Storages
let storage: Storage
beforeEach(async () => {
  storages = await startFileStorages()
  storage = storages.open()
})
afterEach(() => storages.close())

async function pageOf(of: readonly Storage[]): Promise<string> {
  const options = { policy: { keepDaily: 7 }, maxAgeHours: 26 }
  return makePage(await collect(of, options, { ...testContext(), now }), assets)
}

/** Each would break out of where it stands: an element, an attribute in either quotes, a script, a style, a comment. */
const hostile = [
  "<img src=x onerror=alert(1)>",
  `" onmouseover="alert(2)" x="`,
  "' autofocus onfocus='alert(3)",
  "</script><script>alert(4)</script>",
  "</style></title></table><!--",
  "&lt;i&gt; &#x3c;",
  "left\u202eright\u0007\u2028end",
]

test("nothing that a storage says gets out of its place on the page", async () => {
  for (const [index, text] of hostile.entries()) {
    const name = text.replaceAll("/", "|")
    const manifest = await storeSample(storage, { id, database: `${index} ${name}` })
    const problems = [{ object: text, expected: text, found: text }]
    await putCheck(
      storage,
      manifest,
      { kind: "failed", at: "2026-01-02T00:00:00.000Z", by: text, problems },
      [],
    )
    const drill = { server: text, restoreSeconds: 1, compareSeconds: 1, rows: 1, objects: {}, notes: [text] }
    const check = { kind: "drill-failed", at: "2026-01-02T01:00:00.000Z", by: text, problems, drill } as const
    await putCheck(storage, manifest, check, [])
  }
  const page = await pageOf([storage])
  const own = page.replace(assets.script, "").replace(assets.style, "")
  expect(own.match(/<script/g)).toHaveLength(1)
  expect(own.match(/<\/script/g)).toHaveLength(1)
  expect(own.match(/<\/style/g)).toHaveLength(1)
  expect(own).not.toMatch(/<img|<i>|<!--|\p{Cc}(?<!\n)|[\u202e\u2028]/u)
  // The quotes of every attribute are the page's own: none has such a name.
  const tags = own.match(/<[a-z][^>]*>/g) ?? []
  expect(tags.filter((tag) => /\son\w+=|autofocus|\sstyle=/.test(tag.replaceAll(/"[^"]*"/g, '""')))).toEqual(
    [],
  )
  expect(own).toContain("&lt;img src=x onerror=alert(1)&gt;")
  expect(own).toContain("&amp;lt;i&amp;gt;")
  expect(own).toContain("left\\u202eright\\u0007\\u2028end")
})

test("the page asks nothing of any network, and runs its own script alone", async () => {
  await storeSample(storage, { id, checks: ["verified"] })
  const page = await pageOf([storage])
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1] ?? ""
  const hash = (text: string) => createHash("sha256").update(text).digest("base64")
  expect(policy.replaceAll("&#39;", "'").split("; ")).toEqual([
    "default-src 'none'",
    `script-src 'sha256-${hash(assets.script)}'`,
    `style-src 'sha256-${hash(assets.style)}'`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ])
  const own = page.replace(assets.script, "")
  expect(own).not.toMatch(/(?:src|action|srcset)=|url\(|@import/)
  expect([...own.matchAll(/href="([^"]*)"/g)].map(([, href]) => href?.replace(/^#.*/, "#"))).toEqual([
    "data:,",
    "#",
    "#",
  ])
})

test("the script and the style are ASCII and end no element", () => {
  for (const text of [assets.script, assets.style]) {
    expect(text).not.toMatch(/<\/(?:script|style)|<!--/i)
    expect(text).not.toMatch(/\P{ASCII}/u)
  }
})

test("what could not be read is on the page", async () => {
  await storeSample(storage, { id, checks: ["verified"] })
  const page = await pageOf([storage, storages.open()])
  expect(page).toContain("Not all could be read")
  expect(page).toMatch(/Nothing there: [^<]*file:/)
})

test("the program as it is built has the page's script in it once, and not the bundler", () => {
  const program = readFileSync(inject("program"), "utf8")
  expect(program.split("prefers-color-scheme: dark").length - 1).toBe(1)
  expect(program).not.toContain("ESBUILD_BINARY_PATH")
})
