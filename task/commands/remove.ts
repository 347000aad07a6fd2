import * as z from "zod"
import type { CatalogEntry } from "../catalog/catalog.ts"
import { describeBackup, formatAge } from "../catalog/describe-backup.ts"
import { type RemoveResult, remove, removeFailure } from "../catalog/remove.ts"
import { formatBytes, formatName } from "../console/format.ts"
import { storedBytes } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { signedByOf, storagesOf } from "../settings/inputs.ts"
import { type Ask, defineCommand, type OptionGroup } from "./command.ts"
import { signerOptions, storageOptions } from "./options.ts"

const removeOptions: OptionGroup = (command) =>
  command
    .optionsGroup("Remove:")
    .option("--database <name>", "of which database; not needed where only one has such an id")
    .option("--force", "also the newest good backup of its database, and a pinned one")
    .option("--yes", "do not ask")

export const removeCommand = defineCommand({
  name: "remove",
  summary: "remove one backup from every storage",
  group: "Manage backups:",
  argument: { syntax: "<backup>", description: "its id, or the beginning of it" },
  config: { runs: "one", args: "backups" },
  options: [storageOptions, signerOptions, removeOptions],
  flags: z.object({
    database: z.string().optional(),
    force: z.boolean().default(false),
    yes: z.boolean().default(false),
  }),
  examples: ["pgstow remove 20260102T030000Z-k3v9x2ab", "pgstow remove 20260102T03 --database orders --yes"],
  async run({ settings, args: [id = ""], flags: { database, force, yes }, ask }, context) {
    const confirm = async (copies: readonly [CatalogEntry, ...CatalogEntry[]]) => {
      if (!yes) await askToRemove(copies, ask, context.now())
    }
    const result = await remove(
      storagesOf(settings, context),
      { id, database, signedBy: signedByOf(settings), force, confirm },
      context,
    )
    return {
      title: `removed ${result.id}`,
      result,
      text: formatRemove(result, context.now()),
      isAnswer: false,
      failure: removeFailure(result),
    }
  },
})

/** Shows what goes, and returns only when the answer is yes. */
async function askToRemove(
  copies: readonly [CatalogEntry, ...CatalogEntry[]],
  ask: Ask | undefined,
  now: Date,
): Promise<void> {
  const [first] = copies
  const manifest = copies.find((copy) => copy.manifest)?.manifest
  const what = describeBackup(first, manifest, now)
  if (!ask)
    throw new PgstowError("notConfirmed", `nothing was removed, as nobody is here to say yes: ${what}`, {
      hint: "Say --yes.",
    })
  const answer = await ask(
    [
      `${what}: it is removed for good from`,
      ...copies.map((copy) => `  ${formatName(copy.storage.url)}  ${describeCopy(copy)}`),
      "Type yes to go on: ",
    ].join("\n"),
  )
  if (answer?.trim().toLowerCase() !== "yes")
    throw new PgstowError("notConfirmed", `the answer was not yes, so this was not removed: ${what}`)
}

function describeCopy({ manifest, state }: CatalogEntry): string {
  return manifest ? `${formatBytes(storedBytes(manifest))}, ${state}` : "its manifest can't be read"
}

export function formatRemove({ database, id, storages }: RemoveResult, now: Date): string {
  return storages
    .map(({ storage, freedBytes, error }) =>
      error === null
        ? `removed ${id} of ${formatName(database)} from ${storage}: ${formatAge(id, now)}, ${formatBytes(freedBytes)}`
        : `not removed from ${storage}: ${formatName(error)}`,
    )
    .join("\n")
}
