import type { Context } from "../context.ts"
import { countTables } from "../legacy/dump-facts.ts"
import { type LegacyKeys, openLegacy } from "../legacy/open-legacy.ts"
import { type LegacyFile, recognise } from "../legacy/recognise.ts"

export type VerifyFileResult = {
  readonly file: string
  readonly system: LegacyFile["system"]
  readonly kind: LegacyFile["kind"]
  readonly madeAt: string
  readonly storedBytes: number
  readonly rawBytes: number
  readonly tables: number
}

/** Reads a file of Emiti or Sentinel to its end, through all its checks. Rejects where anything is wrong with it. */
export async function verifyFile(
  path: string,
  keys: LegacyKeys,
  { progress, signal }: Context,
): Promise<VerifyFileResult> {
  const file = await recognise(path)
  const count = { tables: 0 }
  let rawBytes = 0
  for await (const chunk of countTables(openLegacy(file, keys), count)) {
    signal.throwIfAborted()
    rawBytes += chunk.length
    progress.update({ stage: `verifying ${path}`, doneBytes: rawBytes })
  }
  const { system, kind, madeAt, sizeBytes } = file
  return {
    file: path,
    system,
    kind,
    madeAt: madeAt.toISOString(),
    storedBytes: sizeBytes,
    rawBytes,
    ...count,
  }
}
