import { availableParallelism, totalmem } from "node:os"
import type { Resources } from "../core/plan.ts"

/** What this machine has, or lets this program have. */
export function machine(): Pick<Resources, "cores" | "memoryBytes"> {
  const limit = process.constrainedMemory()
  const memoryBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
  return { cores: availableParallelism(), memoryBytes }
}
