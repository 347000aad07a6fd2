import type { Storage } from "../../task/storage/storage.ts"
import { bytesOf } from "./bytes.ts"

export async function contentOf(storage: Storage, key: string, offsetBytes = 0): Promise<Buffer> {
  return bytesOf(await storage.read(key, { offsetBytes }))
}

export async function keysOf(storage: Storage, prefix = ""): Promise<string[]> {
  return Array.fromAsync(storage.list(prefix), ({ key }) => key)
}

/** Runs a step for every item, `atOnce` of them at a time. */
export async function inBatches<T>(
  items: readonly T[],
  atOnce: number,
  step: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < items.length; start += atOnce)
    await Promise.all(items.slice(start, start + atOnce).map(step))
}
