import { pinFailure, unpin } from "../catalog/pin.ts"
import { choiceFlags, choiceOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { choiceOptions, signerOptions, storageOptions } from "./options.ts"
import { formatPinned } from "./pin.ts"

export const unpinCommand = defineCommand({
  name: "unpin",
  summary: "leave a pinned backup to the retention policy again",
  group: "Manage backups:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions],
  flags: choiceFlags,
  examples: ["pgstow unpin 20260102T03"],
  async run({ settings, args, flags }, context) {
    const choice = { ...choiceOf(args, flags), signedBy: signedByOf(settings) }
    const result = await unpin(storagesOf(settings, context), choice, context)
    return {
      title: `unpinned ${result.id}`,
      result,
      text: formatPinned(result, "unpinned"),
      isAnswer: false,
      failure: pinFailure(result),
    }
  },
})
