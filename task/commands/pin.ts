import * as z from "zod"
import { type PinResult, pin, pinFailure } from "../catalog/pin.ts"
import { formatCount, formatName } from "../console/format.ts"
import { choiceFlags, choiceOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { choiceOptions, signerOptions, storageOptions } from "./options.ts"

export const pinCommand = defineCommand({
  name: "pin",
  summary: "keep one backup for ever, whatever the retention policy says",
  group: "Manage backups:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "one", args: "backups" },
  options: [
    storageOptions,
    signerOptions,
    choiceOptions,
    (command) => command.option("--reason <text>", "why, in your words: show prints it"),
  ],
  flags: choiceFlags.extend({ reason: z.string().default("") }),
  examples: ['pgstow pin 20260102T03 --reason "before the migration"'],
  notes: ["In every storage that has the backup. `pgstow unpin` ends it."],
  async run({ settings, args, flags }, context) {
    const choice = { ...choiceOf(args, flags), signedBy: signedByOf(settings), reason: flags.reason }
    const result = await pin(storagesOf(settings, context), choice, context)
    return {
      title: `pinned ${result.id}`,
      result,
      text: formatPinned(result, "pinned"),
      isAnswer: false,
      failure: pinFailure(result),
    }
  },
})

export function formatPinned({ database, id, storages }: PinResult, what: "pinned" | "unpinned"): string {
  return storages
    .map(({ storage, notes, error }) => {
      if (error !== null) return `not ${what} in ${storage}: ${formatName(error)}`
      if (notes === 0) return `${id} of ${formatName(database)} was not pinned in ${storage}`
      const count = what === "unpinned" && notes > 1 ? `, ${formatCount(notes, "pin")}` : ""
      return `${what} ${id} of ${formatName(database)} in ${storage}${count}`
    })
    .join("\n")
}
