import { type LeaveOut, planRestore } from "../archive/plan-restore.ts"
import type { Context } from "../context.ts"
import { isOfExtension } from "../restore/extension-protocols.ts"
import { type OpenContentOptions, openContent } from "../restore/open-content.ts"
import { readArchive } from "../restore/read-archive.ts"
import type { Copy } from "../restore/restore.ts"
import type { RestoredArchive } from "./restored.ts"

export type ArchiveOptions = {
  readonly identities: readonly string[]
  readonly signedBy: readonly string[]
  readonly skipExtensions: readonly string[]
  /** Whether a superuser restores. */
  readonly isThrowAway: boolean
}

/** What it holds, and what of that is restored; undefined where it is SQL. Also shows that the key fits. */
export async function archiveOf(
  { storage, manifest }: Copy,
  options: ArchiveOptions,
  context: Pick<Context, "signal">,
): Promise<RestoredArchive | undefined> {
  const { objects } = manifest
  const content = reading(options, context)
  const main = objects.find(({ kind }) => kind === "main")
  const joined = main && (await readArchive(storage, manifest, main, content))
  // The restore reads all of the others to their end.
  for (const object of objects.filter(({ kind }) => kind === "globals"))
    for await (const _ of openContent(storage, manifest, object, content)) context.signal.throwIfAborted()
  if (!joined) return undefined
  const { entries } = planRestore(joined.entries, {
    selection: undefined,
    leaveOut: leaveOut(options),
    isOfExtension,
    target: { isNew: true },
    clean: false,
    asSuperuser: options.isThrowAway,
  })
  return { joined, entries, open: (object) => openContent(storage, manifest, object, content) }
}

export function reading(
  { identities, signedBy }: Pick<ArchiveOptions, "identities" | "signedBy">,
  { signal }: Pick<Context, "signal">,
): OpenContentOptions {
  return { identities, checkFirst: signedBy.length > 0, signal }
}

export function leaveOut({ skipExtensions }: Pick<ArchiveOptions, "skipExtensions">): LeaveOut {
  return {
    extensions: skipExtensions,
    refreshes: false,
    publications: false,
    subscriptions: false,
    eventTriggers: false,
    foreignServers: false,
  }
}
