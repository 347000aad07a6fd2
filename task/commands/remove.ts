import * as z from "zod"
import type { CatalogEntry } from "../catalog/catalog.ts"
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
    .option("--force", "also the newest good backup of its database")
    .option("--yes", "do not ask")

export const removeCommand = defineCommand({
  name: "remove",
  summary: "remove one backup from every storage",
  group: "Keep house:",
  argument: { syntax: "<backup>", description: "its id, or the beginning of it" },
  options: [storageOptions, signerOptions, removeOptions],
  flags: z.object({
    database: z.string().optional(),
    force: z.boolean().default(false),
    yes: z.boolean().default(false),
  }),
  examples: ["pgstow remove 20260102T030000Z-k3v9x2ab", "pgstow remove 20260102T03 --database orders --yes"],
  async run({ settings, args: [id = ""], flags: { database, force, yes }, ask }, context) {
    const confirm = async (copies: readonly CatalogEntry[]) => {
      if (!yes) await askToRemove(copies, ask)
    }
    const result = await remove(
      storagesOf(settings, context),
      { id, database, signedBy: signedByOf(settings), force, confirm },
      context,
    )
    return {
      title: `removed ${result.id}`,
      result,
      text: formatRemove(result),
      isAnswer: false,
      failure: removeFailure(result),
    }
  },
})

/** Shows what goes, and returns only when the answer is yes. */
async function askToRemove(copies: readonly CatalogEntry[], ask: Ask | undefined): Promise<void> {
  const what = [...new Set(copies.map(({ id, database }) => `${id} of ${formatName(database)}`))].join()
  if (!ask)
    throw new PgstowError(
      "notConfirmed",
      `nothing was removed: ${what} would be, and nobody is here to say yes`,
      {
        hint: "Say --yes.",
      },
    )
  const answer = await ask(
    [
      `${what} is removed for good:`,
      ...copies.map((copy) => `  ${formatName(copy.storage.url)}  ${describeCopy(copy)}`),
      "Type yes to go on: ",
    ].join("\n"),
  )
  if (answer.trim().toLowerCase() !== "yes")
    throw new PgstowError("notConfirmed", `${what} was not removed: the answer was not yes`)
}

function describeCopy({ manifest, state }: CatalogEntry): string {
  return manifest ? `${formatBytes(storedBytes(manifest))}, ${state}` : "its manifest can't be read"
}

export function formatRemove({ database, id, storages }: RemoveResult): string {
  return storages
    .map(({ storage, freedBytes, error }) =>
      error === null
        ? `removed ${id} of ${formatName(database)} from ${storage}: ${formatBytes(freedBytes)}`
        : `not removed from ${storage}: ${formatName(error)}`,
    )
    .join("\n")
}
