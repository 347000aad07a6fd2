import { statfs } from "node:fs/promises"
import { formatBytes } from "../console/format.ts"
import { type Manifest, rawBytes } from "../core/manifest.ts"
import { PgstowError } from "../errors.ts"
import { noTemporaryFiles } from "../processes/temporary-folder.ts"

/** A new server, its write-ahead log, and what sorting takes. */
const besideBytes = 512 * 1024 * 1024

/** How large SQL gets as tables and indexes, at most as a rule. */
const growth = 3

/** What a restored backup takes up on disk, at most as a rule: the original's size, with all that was bloated there. */
export function roomWanted(manifest: Manifest): number {
  const { source, importedFrom } = manifest
  const bytes = importedFrom === undefined ? source.sizeBytes : growth * rawBytes(manifest)
  return bytes + besideBytes
}

/** Throws a PgstowError where the disk of `folder` has no room for a restored backup. */
export async function checkRoom(folder: string, manifest: Manifest): Promise<void> {
  const { bavail, bsize } = await statfs(folder).catch((error: unknown) => {
    throw noTemporaryFiles(error)
  })
  const [there, wanted] = [bavail * bsize, roomWanted(manifest)]
  if (there >= wanted) return
  throw new PgstowError(
    "usage",
    `a drill of ${manifest.id} wants ${wanted} bytes (${formatBytes(wanted)}) in ${folder}, and ${there} (${formatBytes(there)}) are free there`,
    {
      hint: "Set TMPDIR to a folder with more room, or give --target to restore into a server that has it. The stack on AWS gives more by the setting drill.storageGiB.",
    },
  )
}
