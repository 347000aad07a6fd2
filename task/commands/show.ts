import { formatShow, show } from "../catalog/show.ts"
import { choiceFlags, choiceOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { choiceOptions, storageOptions } from "./options.ts"

export const showCommand = defineCommand({
  name: "show",
  summary: "show one backup: what it holds, and what checks found",
  group: "Look:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  options: [storageOptions, choiceOptions],
  flags: choiceFlags,
  examples: ["pgstow show latest", "pgstow show 20260102T03 --database orders"],
  async run({ settings, args, flags }, context) {
    const result = await show(storagesOf(settings, context), choiceOf(args, flags), context)
    return { title: `showed ${result.manifest.id}`, result, text: formatShow(result), isAnswer: true }
  },
})
