import { join } from "node:path"
import { type BuildOptions, buildSync, type Metafile } from "esbuild"

const projectRoot = join(import.meta.dirname, "../..")

/** What every bundle is made with. */
export const bundleOptions = {
  bundle: true,
  minify: true,
  platform: "node",
  mainFields: ["module", "main"],
  legalComments: "none",
  logLevel: "error",
  metafile: true,
  absWorkingDir: projectRoot,
} satisfies BuildOptions

/**
 * Bundles a module of this checkout, by its path from the root, into one file that Node 24 can import or run. Gives the
 * packages that are in it, by their folders from the root.
 */
export function bundle(
  entry: string,
  outfile: string,
  options: Pick<BuildOptions, "define" | "external"> = {},
): string[] {
  const { metafile } = buildSync({
    ...bundleOptions,
    ...options,
    entryPoints: [join(projectRoot, entry)],
    outfile,
    target: "node24",
    format: "esm",
    // The AWS SDK has CommonJS inside, which asks for `require`.
    banner: {
      js: 'import { createRequire as pgstowCreateRequire } from "node:module"; const require = pgstowCreateRequire(import.meta.url);',
    },
  })
  return packagesIn(metafile)
}

/** The folders, from the root, of the packages that something of has come into what was built. */
export function packagesIn({ outputs }: Metafile): string[] {
  const inputs = Object.values(outputs).flatMap((output) =>
    Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : [])),
  )
  return [...new Set(inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []))].sort()
}
