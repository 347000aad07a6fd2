import { build } from "esbuild"

/** Bundles the program into one file that runs alone: `node dist/pgstow.mjs`. */
await build({
  entryPoints: ["task/main.ts"],
  outfile: "dist/pgstow.mjs",
  bundle: true,
  minify: true,
  platform: "node",
  target: "node24",
  format: "esm",
  // The AWS SDK has CommonJS inside, which asks for `require`.
  banner: {
    js: 'import { createRequire as pgstowCreateRequire } from "node:module"; const require = pgstowCreateRequire(import.meta.url);',
  },
  legalComments: "none",
  logLevel: "info",
})
