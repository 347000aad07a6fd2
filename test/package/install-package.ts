import { execFile } from "node:child_process"
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises"
import { dirname, join, relative, resolve } from "node:path"
import { promisify } from "node:util"
import * as z from "zod"

export const root = resolve(import.meta.dirname, "../..")

/** The checkout's packages. */
export const checkoutPackages = join(root, "node_modules")

/** The PATH of somebody who has never seen the checkout: the system's, with Node 24 first. */
export const foreignPath = [dirname(process.execPath), systemPath()].join(":")

/** The PATH without the folders of npm's programs, which vitest is run with. */
export function systemPath(): string {
  const folders = process.env.PATH?.split(":") ?? []
  return folders.filter((folder) => !folder.includes("node_modules")).join(":")
}

export type Ran = { readonly stdout: string; readonly stderr: string; readonly exitCode: number }

/** Runs a program in a folder, with no other environment than this. Resolves whatever its exit code is. */
export async function runIn(
  cwd: string,
  [file = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const options = { cwd, env: { PATH: foreignPath, HOME: cwd, ...env }, maxBuffer: 64 * 1024 ** 2 }
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, options)
    return { stdout, stderr, exitCode: 0 }
  } catch (error) {
    return z
      .object({ stdout: z.string(), stderr: z.string(), code: z.int() })
      .transform(({ stdout, stderr, code }) => ({ stdout, stderr, exitCode: code }))
      .parse(error)
  }
}

/** The same, where anything but exit code 0 fails the test. Gives its standard output. */
export async function succeedIn(
  cwd: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout, stderr, exitCode } = await runIn(cwd, command, env)
  if (exitCode !== 0) throw new Error(`${command.join(" ")} exited with ${exitCode}: ${stderr}${stdout}`)
  return stdout
}

export type Packed = {
  readonly tarball: string
  /** What is in it, by the paths from its root. */
  readonly files: readonly string[]
  /** In bytes, as it is downloaded, and as it lies on the disk. */
  readonly size: number
  readonly unpackedSize: number
}

/** Builds and packs the package, as `npm pack` does in the checkout. */
export async function packPackage(folder: string): Promise<Packed> {
  const said = await promisify(execFile)("npm", ["pack", "--json", "--pack-destination", folder], {
    cwd: root,
  })
  const [packed] = z
    .tuple([
      z.object({
        filename: z.string(),
        size: z.int(),
        unpackedSize: z.int(),
        files: z.array(z.object({ path: z.string() })),
      }),
    ])
    // Some versions of npm put what scripts say before it.
    .parse(JSON.parse(said.stdout.slice(said.stdout.search(/^\[$/m))))
  const { filename, size, unpackedSize, files } = packed
  return { tarball: join(folder, filename), size, unpackedSize, files: files.map(({ path }) => path).sort() }
}

/** Makes a folder with the package installed in it, and nothing else: by npm, without a network. */
export async function installPackage(
  tarball: string,
  folder: string,
  manifest: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await mkdir(folder)
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, ...manifest }))
  await succeedIn(folder, ["npm", "install", "--offline", "--no-audit", "--no-fund", tarball])
}

const dependenciesSchema = z.object({ dependencies: z.record(z.string(), z.string()).default({}) })

/**
 * Links packages of the checkout into a folder, and gives where they, and all that they need, are: what an app of it may
 * read.
 */
export async function linkPackages(folder: string, names: readonly string[]): Promise<string[]> {
  for (const name of names) {
    const link = join(folder, "node_modules", name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(checkoutPackages, name), link)
  }
  const seen = new Set<string>()
  const follow = async (name: string): Promise<void> => {
    if (seen.has(name)) return
    seen.add(name)
    const text = await readFile(join(checkoutPackages, name, "package.json"), "utf8").catch(() => "{}")
    const { dependencies } = dependenciesSchema.parse(JSON.parse(text))
    for (const other of Object.keys(dependencies)) await follow(other)
  }
  for (const name of names) await follow(name)
  return [...seen].map((name) => join(checkoutPackages, name))
}

/** The files of the Helm chart, by their paths in the package. */
export async function chartFiles(): Promise<string[]> {
  const found = await readdir(join(root, "infra/helm"), { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
}

/** The functions of functions/ that Lambda calls. */
export async function functionNames(): Promise<string[]> {
  const names = (await readdir(join(root, "functions"))).map((file) => file.replace(/\.ts$/, ""))
  const texts = await Promise.all(
    names.map((name) => readFile(join(root, "functions", `${name}.ts`), "utf8")),
  )
  return names.filter((_, index) => /^export const handler\b/m.test(texts[index] ?? ""))
}
