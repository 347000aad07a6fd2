import * as z from "zod"
import { settingsSchema } from "./settings-schema.ts"

/** The file that the build writes it into, in dist/. Its name is part of what is published. */
export const jsonSchemaFile = "pgstow.config.schema.json"

/**
 * The JSON Schema of `pgstow.config.json`, by which editors help: of draft 7, which all of them know. It takes whatever
 * the program takes. What depends on two settings, on a calendar or on what a key is only the program checks.
 */
export function makeJsonSchema(): object {
  return {
    title: "The settings of pgstow",
    description: "What pgstow backs up, on a machine of your own and on AWS.",
    ...z.toJSONSchema(settingsSchema, { io: "input", target: "draft-7" }),
  }
}
