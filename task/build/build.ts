import { bundle } from "./bundle.ts"

/** Bundles the program into one file that runs alone: `node dist/pgstow.mjs`. */
bundle("task/main.ts", "dist/pgstow.mjs")
