import { formatName } from "../console/format.ts"
import type { Manifest } from "../core/manifest.ts"

type Extension = Manifest["source"]["extensions"][number]

/** How the extensions that a restore makes differ on its server from those of the backup, in words. */
export type ExtensionsThere = {
  /** What the server does not have; undefined where it has all. */
  readonly missing: string | undefined
  /** A sentence for each whose version there is older than the backup's. */
  readonly older: readonly string[]
  /** A sentence for each that is there in another version, and not in an older one. */
  readonly newer: readonly string[]
}

/**
 * @param planned the names of those that are to be made
 * @param available the version that CREATE EXTENSION makes, by name; null where the server does not say
 */
export function extensionsThere(
  planned: readonly string[],
  original: readonly Extension[],
  available: ReadonlyMap<string, string | null>,
): ExtensionsThere {
  const versions = new Map(original.map(({ name, version }) => [name, version]))
  const missing = planned.filter((name) => !available.has(name))
  const described = missing.map((name) => {
    const version = versions.get(name)
    return version === undefined
      ? formatName(name)
      : `${formatName(name)} (${formatName(version)} in the backup)`
  })
  const older: string[] = []
  const newer: string[] = []
  for (const name of planned) {
    const [before, now] = [versions.get(name), available.get(name)]
    if (before === undefined || now === undefined || now === null || before === now) continue
    const sentence = `the extension ${formatName(name)} is ${formatName(before)} in the backup, and ${formatName(now)} on this server`
    if (isOlder(now, before)) older.push(sentence)
    else newer.push(sentence)
  }
  return {
    missing:
      missing.length === 0
        ? undefined
        : `the target's server does not have ${missing.length === 1 ? "the extension" : "the extensions"} ${described.join(", ")}`,
    older,
    newer,
  }
}

/** By the numbers in them: 1.10 is newer than 1.9. */
function isOlder(version: string, than: string): boolean {
  return version.localeCompare(than, "en", { numeric: true }) < 0
}
