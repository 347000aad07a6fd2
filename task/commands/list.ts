import * as z from "zod"
import { formatList, list } from "../catalog/list.ts"
import { storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { storageOptions } from "./options.ts"

export const listCommand = defineCommand({
  name: "list",
  summary: "list the backups, newest first",
  group: "Look:",
  argument: { syntax: "[database]", description: "only those of this database" },
  options: [storageOptions],
  flags: z.object({}),
  examples: ["pgstow list", "pgstow list orders --json"],
  async run({ settings, args: [database] }, context) {
    const result = await list(storagesOf(settings, context), { database })
    return { title: "listed the backups", result, text: formatList(result), isAnswer: true }
  },
})
