import { join } from "node:path"
import { bundleProgram } from "./bundle-program.ts"
import { writeJsonSchema } from "./write-json-schema.ts"

/** Bundles the program into one file that runs alone: `node dist/pgstow.mjs`. */
bundleProgram(join(import.meta.dirname, "../../dist/pgstow.mjs"))

writeJsonSchema(join(import.meta.dirname, "../../dist"))
