import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, posix } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import * as z from "zod"
import { compareDatabases } from "../support/compare-databases.ts"
import { notRun } from "../support/not-run.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { type Scene, setScene } from "../support/scene.ts"
import {
  chartFiles,
  checkoutPackages,
  functionNames,
  installPackage,
  linkPackages,
  type Packed,
  packPackage,
  root,
  runIn,
  succeedIn,
  systemPath,
} from "./install-package.ts"

const apps = join(import.meta.dirname, "apps")
let folder = ""
let packed: Packed
/** Where the package is installed, and nothing else. */
let installed = ""

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pgstow-package-"))
  packed = await packPackage(folder)
  installed = join(folder, "installed")
  await installPackage(packed.tarball, installed)
}, 300_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

test("the package holds what is listed here, and nothing else", async () => {
  expect(packed.files).toEqual(
    [
      ".env.example",
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "SECURITY.md",
      "dist/Dockerfile",
      "dist/cdk.d.ts",
      "dist/cdk.js",
      ...(await functionNames()).map((name) => `dist/functions/${name}.mjs`),
      "dist/library.d.ts",
      "dist/library.js",
      "dist/pgstow.1",
      "dist/pgstow.config.schema.json",
      "dist/pgstow.mjs",
      "dist/sbom.json",
      "dist/third-party-licences.txt",
      "infra/README.md",
      "infra/compose.yaml",
      "infra/containers.md",
      ...(await chartFiles()),
      "package.json",
      "task/FORMAT.md",
      "task/README.md",
      "task/legacy/README.md",
    ].sort(),
  )
})

test("its pages link to nothing that it leaves out, but what a checkout is needed for", async () => {
  const ofCheckout = ["CONTRIBUTING.md", "oxlint.config.ts", "task/Dockerfile"]
  const held = new Set(packed.files)
  const missing: string[] = []
  for (const page of packed.files.filter((name) => name.endsWith(".md"))) {
    const text = await readFile(join(root, page), "utf8")
    for (const [, link = ""] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const file = posix.join(posix.dirname(page), link)
      const leadsSomewhere = held.has(file) || packed.files.some((name) => name.startsWith(`${file}/`))
      if (!leadsSomewhere && !file.startsWith("test/") && !ofCheckout.includes(file))
        missing.push(`${page}: ${link}`)
    }
  }
  expect(missing).toEqual([])
})

test("the README says how large the package is", async () => {
  const readme = await readFile(join(root, "README.md"), "utf8")
  const [, size = "", unpacked = ""] = /([\d.]+) MB to download, ([\d.]+) MB on the disk/.exec(readme) ?? []
  for (const [is, said] of [
    [packed.size, size],
    [packed.unpackedSize, unpacked],
  ] as const)
    expect(Math.abs(is / 1e6 / Number(said) - 1)).toBeLessThan(0.12)
})

test("installing it installs no other package", async () => {
  expect((await readdir(join(installed, "node_modules"))).filter((name) => !name.startsWith("."))).toEqual([
    "pgstow",
  ])
})

test("installed for all, it brings its man page", async () => {
  const prefix = join(folder, "global")
  await succeedIn(folder, ["npm", "install", "--global", "--offline", "--prefix", prefix, packed.tarball])
  expect(await readFile(join(prefix, "share/man/man1/pgstow.1"), "utf8")).toContain(".TH")
})

test("its bill of materials and its licences name the same packages, those that its files are made of", async () => {
  const dist = join(installed, "node_modules/pgstow/dist")
  const { components, metadata } = z
    .object({
      metadata: z.object({ component: z.object({ name: z.string() }) }),
      components: z.array(z.object({ name: z.string(), group: z.string().optional(), version: z.string() })),
    })
    .parse(JSON.parse(await readFile(join(dist, "sbom.json"), "utf8")))
  expect(metadata.component.name).toBe("pgstow")
  const named = components.map(({ name, version }) => `${name} ${version}`).sort()
  const licences = await readFile(join(dist, "third-party-licences.txt"), "utf8")
  expect(
    [...licences.matchAll(/^(@?[\w./-]+ \d+\.\d+\.\d+[\w.-]*) \(\S+\)$/gm)].map(([, one = ""]) => one).sort(),
  ).toEqual(named)
  const bundled = ["@aws-sdk/client-s3", "@middy/core", "age-encryption", "chart.js", "commander", "zod"]
  for (const name of bundled) expect(named.join()).toContain(`${name} `)
  for (const name of ["aws-cdk-lib", "esbuild", "typescript", "vitest"])
    expect(named.join()).not.toContain(`${name} `)
})

test("publint and attw find nothing wrong with it, but that a CommonJS program gets an ES module", async () => {
  const bin = join(checkoutPackages, ".bin")
  await succeedIn(folder, [join(bin, "publint"), "run", packed.tarball, "--strict"])
  // Node 24, which it needs, requires ES modules.
  await succeedIn(folder, [join(bin, "attw"), packed.tarball, "--ignore-rules", "cjs-resolves-to-esm"])
})

test("npm publish would take it", async () => {
  // The registry is asked which versions there are; where none answers, the dry run goes on.
  const impatient = ["--fetch-retries=0", "--fetch-timeout=5000"]
  const command = ["npm", "publish", "--dry-run", ...impatient, packed.tarball]
  const { exitCode, stderr } = await runIn(folder, command)
  expect(stderr).toContain(`pgstow@`)
  expect(exitCode).toBe(0)
})

/** What programs of the package's users are told by the environment. */
function environmentOf({
  server,
  database,
  storage,
  identity,
  recipient,
  folder,
}: Scene): Record<string, string> {
  return {
    HOME: folder,
    TMPDIR: folder,
    DATABASE_URL: server.url(database),
    ADMIN_URL: server.url("postgres"),
    STORAGE: storage,
    IDENTITY: identity,
    RECIPIENT: recipient,
    INTO: `${database}_restored`,
    PG_BIN: server.binDir,
    PGSTOW_PG_BIN: server.binDir,
  }
}

test("npx pgstow, from the package alone, backs a database up and restores it", async () => {
  const scene = await setScene()
  const { server, database, storage } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  const env = environmentOf(scene)
  const pgstow = (args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
    succeedIn(installed, ["npx", "--offline", "pgstow", ...args], {
      ...env,
      PGSTOW_STORAGE: storage,
      ...more,
    })
  const recipient = (await pgstow(["keygen", "--out", join(scene.folder, "pgstow.key")])).trim()
  await pgstow(["backup", "--recipient", recipient])
  expect(await pgstow(["list"])).toMatch(/ verified/)
  const into = `${database}_restored`
  const key = join(scene.folder, "pgstow.key")
  await pgstow(["restore", "latest", "--identity", key, "--into", into], {
    DATABASE_URL: server.url("postgres"),
  })
  expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
})

/** The example of the library, as task/README.md has it. */
async function libraryExample(): Promise<string> {
  const readme = await readFile(join(root, "task/README.md"), "utf8")
  const section = readme.slice(readme.indexOf("## As a library"))
  const [, example] = /```js\n([\s\S]*?)```/.exec(section) ?? []
  if (example === undefined) throw new Error("the README has no example of the library")
  return example
}

test("the library's example backs a database up, verifies it and restores it, as an ES module", async () => {
  const scene = await setScene()
  const { server, database, folder: own, storage, identity, recipient } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  await writeFile(join(own, "pgstow.key"), identity)
  const replacements: readonly [string, string][] = [
    ["postgresql://app:secret@db.example.com/orders", server.url(database)],
    ["postgresql://admin:secret@new-db.example.com/postgres", server.url("postgres")],
    ["file:///var/backups/pgstow", storage],
    ["age1…", recipient],
    ["pgstow.key", join(own, "pgstow.key")],
    ["orders_restored", `${database}_restored`],
  ]
  const example = replacements.reduce(
    (text, [from, to]) => {
      // So that it can't drift away from what is put in here.
      expect(text).toContain(from)
      return text.replaceAll(from, to)
    },
    await libraryExample(),
  )
  await writeFile(join(installed, "example.mjs"), example)
  const path = `${server.binDir}:${process.env.PATH}`
  const stdout = await succeedIn(installed, [process.execPath, "example.mjs"], {
    ...environmentOf(scene),
    PATH: path,
  })
  expect(stdout).toContain(`${storage}: deep-verified`)
  expect(stdout).toContain(`${database}_restored`)
  const restored = { server, name: `${database}_restored` }
  expect(await compareDatabases({ server, name: database }, restored)).toEqual([])
})

test("the library does the same where it is required, and rejects with errors of its own", async () => {
  const scene = await setScene()
  const { server, database, storage } = scene
  await fillSampleDatabase(server, database, { megabytes: 2 })
  await cp(join(apps, "by-require.cjs"), join(installed, "by-require.cjs"))
  const stdout = await succeedIn(installed, [process.execPath, "by-require.cjs"], environmentOf(scene))
  const { made, ...said } = z
    .looseObject({ made: z.looseObject({ id: z.string() }), heard: z.int().positive() })
    .parse(JSON.parse(stdout))
  expect(said).toMatchObject({
    copy: { kind: "deep-verified", id: made.id, storage },
    restored: { state: "restored", into: `${database}_restored`, id: made.id },
    backups: [{ id: made.id, state: "verified", database }],
    refused: { isOwn: true, isResult: false, kind: "notConfirmed" },
  })
  const restored = { server, name: `${database}_restored` }
  expect(await compareDatabases({ server, name: database }, restored)).toEqual([])
})

/** What synthesis has written: its templates, and what assets they name, by what is in these. */
async function assemblyOf(cdkOut: string): Promise<Map<string, string>> {
  const assembly = new Map<string, string>()
  for (const name of (await readdir(cdkOut)).sort())
    if (name.endsWith(".template.json")) assembly.set(name, await readFile(join(cdkOut, name), "utf8"))
    else if (name.startsWith("asset.")) assembly.set(name, (await readdir(join(cdkOut, name))).join(" "))
  return assembly
}

/** Compiles the foreign app as a module of this kind, where the package is installed, and synthesizes it there. */
async function synthesizeForeign(kind: "esm" | "cjs", app: string): Promise<Map<string, string>> {
  const own = join(folder, kind)
  await installPackage(packed.tarball, own, { type: kind === "esm" ? "module" : "commonjs" })
  const mayRead = await linkPackages(own, ["aws-cdk-lib", "constructs", "@types/node"])
  await writeFile(join(own, "shop.ts"), app)
  const compilerOptions = {
    module: "nodenext",
    target: "es2024",
    types: ["node"],
    strict: true,
    // The declarations themselves are checked once, with those of aws-cdk-lib.
    skipLibCheck: kind === "cjs",
  }
  await writeFile(join(own, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["shop.ts"] }))
  await succeedIn(own, [join(checkoutPackages, ".bin/tsc")])
  const imports = kind === "cjs" ? 'require("pgstow/cdk")' : 'from "pgstow/cdk"'
  expect(await readFile(join(own, "shop.js"), "utf8")).toContain(imports)
  // It may read nothing else, the checkout's sources and esbuild among it, and start no program.
  const readable = [own, join(tmpdir(), "pgstow-*"), "/proc/sys/fs/binfmt_misc", ...mayRead]
  const allowed = [
    ...readable.map((path) => `--allow-fs-read=${path}`),
    ...[own, tmpdir()].map((path) => `--allow-fs-write=${path}`),
  ]
  const cdkOut = join(own, "cdk.out")
  const command = [process.execPath, "--permission", ...allowed, "shop.js"]
  await succeedIn(own, command, { CDK_OUTDIR: cdkOut })
  return assemblyOf(cdkOut)
}

/** The same app, with the constructs of the checkout, which bundle what they deploy. */
async function synthesizeHere(app: string): Promise<Map<string, string>> {
  const own = join(folder, "checkout")
  await mkdir(own)
  await writeFile(join(own, "package.json"), '{ "type": "module" }')
  await linkPackages(own, ["aws-cdk-lib", "constructs"])
  await writeFile(join(own, "shop.ts"), app.replace("pgstow/cdk", join(root, "infra/cdk.ts")))
  const cdkOut = join(own, "cdk.out")
  await succeedIn(own, [process.execPath, "shop.ts"], { CDK_OUTDIR: cdkOut })
  return assemblyOf(cdkOut)
}

test("a foreign CDK app, in TypeScript, as ES module and as CommonJS, synthesizes from the package alone, to what the checkout makes", async () => {
  const app = await readFile(join(apps, "shop.ts"), "utf8")
  const [esm, cjs, here] = await Promise.all([
    synthesizeForeign("esm", app),
    synthesizeForeign("cjs", app),
    synthesizeHere(app),
  ])
  expect([...here.keys()].filter((name) => name.startsWith("asset.")).length).toBeGreaterThan(5)
  expect(cjs).toEqual(esm)
  // Assets are named by what is in them.
  expect(esm).toEqual(here)
})

test("it starts as fast as the bundle alone, and npx adds no more than what it takes to start anything", async () => {
  const bundle = join(root, "dist/pgstow.mjs")
  const nothing = join(installed, "node_modules/.bin/nothing")
  await writeFile(nothing, "#!/usr/bin/env node\n", { mode: 0o755 })
  const commands = {
    bundle: [process.execPath, bundle, "--version"],
    bin: [join(installed, "node_modules/.bin/pgstow"), "--version"],
    npx: ["npx", "--offline", "pgstow", "--version"],
    npxOfNothing: ["npx", "--offline", "nothing"],
    nodeOfNothing: [nothing],
  }
  const seconds: Record<string, number[]> = {}
  for (let round = 0; round < 5; round++)
    for (const [name, command] of Object.entries(commands)) {
      const before = performance.now()
      await succeedIn(installed, command)
      seconds[name] = [...(seconds[name] ?? []), (performance.now() - before) / 1000]
    }
  const median = (name: keyof typeof commands) => seconds[name]?.toSorted((a, b) => a - b)[2] ?? Number.NaN
  const names = ["bundle", "bin", "npx", "npxOfNothing", "nodeOfNothing"] as const
  process.stdout.write(
    `median start: ${names.map((name) => `${name} ${median(name).toFixed(3)} s`).join(", ")}\n`,
  )
  // On a machine that has nothing else to do; on a busy one everything takes longer.
  const allowed = Math.max(0.2, median("bundle"))
  expect(median("bin") - median("bundle")).toBeLessThan(allowed)
  const ownShare = median("npx") - median("npxOfNothing")
  expect(ownShare - (median("bundle") - median("nodeOfNothing"))).toBeLessThan(allowed)
})

const needsOlder = notRun(
  /^v(1\d|2[0-3])\./.test((await runIn("/", ["node", "--version"], { PATH: systemPath() })).stdout),
  "the machine has no Node older than 24",
)

test.skipIf(needsOlder)(`an older Node says in one line that it is too old${needsOlder}`, async () => {
  const ran = await runIn(installed, [join(installed, "node_modules/.bin/pgstow"), "list"], {
    PATH: systemPath(),
  })
  expect(ran.exitCode).toBe(2)
  expect(ran.stderr).toMatch(/^error: pgstow needs Node 24 or newer, and this is [\d.]+\. .*\n$/)
  expect(ran.stderr).toContain(`npx node@24 ${installed}/node_modules/.bin/pgstow`)
})
