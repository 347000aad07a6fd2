import { join } from "node:path"
import { buildSync } from "esbuild"
import { bundleOptions, packagesIn } from "./bundle.ts"
import { bundlePage } from "./bundle-page.ts"

/** What pgstow needs. */
const leastMajor = 24

/** The oldest Node that must be able to read the bundle, so that it can say that it is too old: that of Ubuntu 22.04. */
const oldestReader = "node12.22"

/**
 * What runs before all else. A module links its imports before its first line runs, and an older Node lacks some of
 * them: so this has the one import that every Node can link, and the program `require`s the others after it.
 */
const firstStage = `import { createRequire as pgstowCreateRequire } from "module";
if (parseInt(process.versions.node, 10) < ${leastMajor}) {
  const hint = "Install it, or run \`npx node@${leastMajor} " + process.argv[1] + "\`.";
  process.stderr.write("error: pgstow needs Node ${leastMajor} or newer, and this is " + process.versions.node + ". " + hint + "\\n");
  process.exit(2);
}
const require = pgstowCreateRequire(import.meta.url);`

/**
 * Bundles the program into one file that runs alone. An older Node than it needs says so in one line, and exits 2. Gives
 * the packages that are in it, by their folders from the root.
 */
export function bundleProgram(outfile: string): string[] {
  const { script, style, packages } = bundlePage()
  const { metafile } = buildSync({
    ...bundleOptions,
    entryPoints: [join(import.meta.dirname, "../main.ts")],
    outfile,
    target: oldestReader,
    format: "cjs",
    banner: { js: firstStage },
    // Where these are, the program has no need of esbuild, which is then left out.
    define: { PGSTOW_PAGE_SCRIPT: JSON.stringify(script), PGSTOW_PAGE_STYLE: JSON.stringify(style) },
  })
  return [...packagesIn(metafile), ...packages]
}
