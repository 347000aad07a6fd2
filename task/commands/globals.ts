import { terminalOutput } from "../console/terminal-output.ts"
import { catGlobals } from "../restore/cat.ts"
import { choiceFlags, choiceOf, identitiesOf, signedByOf, storagesOf } from "../settings/inputs.ts"
import { defineCommand } from "./command.ts"
import { choiceOptions, keyOptions, signerOptions, storageOptions } from "./options.ts"

export const globalsCommand = defineCommand({
  name: "globals",
  summary: "print the SQL that makes a backup's roles",
  group: "Get it back:",
  argument: { syntax: "[backup]", description: "latest, an id, or the beginning of one" },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, choiceOptions, keyOptions],
  flags: choiceFlags,
  examples: ['pgstow globals latest --identity pgstow.key | psql "$DATABASE_URL"'],
  async run({ settings, args, flags, stdout }, context) {
    const result = await catGlobals(
      {
        ...choiceOf(args, flags),
        storages: storagesOf(settings, context),
        identities: await identitiesOf(settings, context),
        signedBy: signedByOf(settings),
        output: terminalOutput(stdout),
      },
      context,
    )
    return { title: `wrote the roles of ${result.id}`, result, text: "", isAnswer: true, isWritten: true }
  },
})
