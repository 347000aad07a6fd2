import * as z from "zod"
import { migrateFile } from "../legacy/migrate-file.ts"
import { defineCommand } from "./command.ts"

export const migrateCommand = defineCommand({
  name: "migrate",
  summary: "turn the settings of Emiti or Sentinel into pgstow's",
  group: "Set up:",
  argument: { syntax: "<file>", description: "the environment file" },
  options: [
    (command) => command.option("--write <file>", "write the settings into a new file, secrets included"),
  ],
  flags: z.object({ write: z.string().optional() }),
  examples: ["pgstow migrate /opt/sentinel/.env", "pgstow migrate /etc/emiti.env --write .env"],
  async run({ args: [file = ""], flags: { write } }) {
    const { result, text } = await migrateFile(file, { write })
    return { title: "read the older settings", result, text, isAnswer: true }
  },
})
