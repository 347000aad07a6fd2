import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { jsonSchemaFile, makeJsonSchema } from "../config/json-schema.ts"

/** Writes the JSON Schema of the settings into a folder, for editors. */
export function writeJsonSchema(folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, jsonSchemaFile), `${JSON.stringify(makeJsonSchema(), null, 2)}\n`)
}
