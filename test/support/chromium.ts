import { access } from "node:fs/promises"
import { delimiter, join } from "node:path"

/** Where the browser is; undefined where this machine has none. */
export async function findChromium(): Promise<string | undefined> {
  for (const name of ["chromium", "chromium-browser", "google-chrome"])
    for (const place of (process.env.PATH ?? "").split(delimiter)) {
      const path = join(place, name)
      const found = await access(path).then(
        () => true,
        () => false,
      )
      if (found) return path
    }
  return undefined
}
