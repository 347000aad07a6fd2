import { globSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { clientsWith } from "./client-folder.ts"
import type { PostgresServer } from "./postgres.ts"

/** What keeps the copies of segments from coming to their end. */
export type HeldCopies = {
  /** The folder with the programs that do it, for PGSTOW_PG_BIN. */
  readonly folder: string
  /** Resolves when so many copies have come to where they wait. */
  reached(count?: number): Promise<void>
  /** Lets them go on, and those to come not wait. */
  release(): Promise<void>
}

/**
 * Makes every copy of a segment wait: "before" it connects, so without a lock of its own; or in the "middle" of
 * its rows.
 */
export async function holdCopies(server: PostgresServer, where: "before" | "middle"): Promise<HeldCopies> {
  const until = `until [ -e "$folder/release" ]; do sleep 0.05; done`
  const copy =
    where === "before"
      ? `touch "$folder/reached.$$"; ${until}; exec "$real" "$@"`
      : // What is written once the reader has seen a byte has its lock.
        `exec bash -c 'folder=$0; exec "$@" > >(head -c 1; touch "$folder/reached.$$"; ${until}; exec cat)' "$folder" "$real" "$@"`
  const folder = await clientsWith(
    server,
    "psql",
    `folder=$(dirname "$0")\ncase "$*" in *ON_ERROR_STOP*) ${copy} ;; esac\nexec "$real" "$@"`,
  )
  return {
    folder,
    reached: async (count = 1) => {
      while (globSync("reached.*", { cwd: folder }).length < count) await sleep(20)
    },
    release: () => writeFile(join(folder, "release"), ""),
  }
}
