/**
 * What proves something, and asks again only after `holdsMs`: what is asked meanwhile gets the same answer. Throws
 * what `prove` throws.
 */
export function heldProof(prove: () => Promise<unknown>, holdsMs: number): () => Promise<void> {
  let asked: Promise<unknown> = Promise.resolve()
  let holdsUntil = Number.NEGATIVE_INFINITY
  return async () => {
    if (performance.now() >= holdsUntil) {
      holdsUntil = Number.POSITIVE_INFINITY
      asked = prove().finally(() => {
        holdsUntil = performance.now() + holdsMs
      })
    }
    await asked
  }
}
