import { terminalOutput } from "../console/terminal-output.ts"
import { PgstowError } from "../errors.ts"
import { cat } from "../restore/cat.ts"
import { choiceFlags, choiceOf, identitiesOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { choiceOptions, keyOptions, signerOptions, storageOptions } from "./options.ts"

export const catCommand = defineCommand({
  name: "cat",
  summary: "write a backup, or one object of it, to standard output, decrypted",
  group: "Get it back:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  secondArgument: {
    syntax: "[object]",
    description: "main, globals, data/0001, …; without it, all of the database as one archive for pg_restore",
  },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions, keyOptions],
  flags: choiceFlags,
  examples: [
    "pgstow cat latest --identity pgstow.key | pg_restore -d orders_restored",
    "pgstow cat 20260102T030000Z-k3v9x2ab data/0001 >events.copy",
  ],
  async run({ settings, args, flags, stdout }, context) {
    const [, object] = args
    if (stdout.isTTY && object !== "globals" && !object?.startsWith("globals."))
      throw new PgstowError("usage", "a backup is binary, and this is a terminal", {
        hint: "Send it into a file (>orders.dump) or a program (| pg_restore -d orders_restored).",
      })
    const result = await cat(
      {
        ...choiceOf(args.slice(0, 1), flags),
        storages: storagesOf(settings, context),
        identities: await identitiesOf(settings, context),
        signedBy: signedByOf(settings),
        object,
        output: terminalOutput(stdout),
      },
      context,
    )
    return { title: `wrote ${result.id}`, result, text: "", isAnswer: true, isWritten: true }
  },
})
