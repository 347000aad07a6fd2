const mebibyte = 1024 * 1024
const leastBytes = 8 * mebibyte

/**
 * How large the part number `index`, from 0, of an object is to be.
 *
 * Half of the parts allowed would hold what is expected; they are of one size, as some services want it. Should
 * the object turn out larger, the size doubles with every further eighth of the parts: there is room for eight
 * times what was expected, and no part is larger than the 5 GiB that S3 takes where the object is at most 5 TiB.
 *
 * @param maxParts may be Infinity
 */
export function partSize(index: number, expectedBytes: number, maxParts: number): number {
  const evenBytes = Math.ceil(expectedBytes / (maxParts / 2) / mebibyte) * mebibyte
  const doublings = Math.max(0, 1 + Math.floor((index / maxParts - 1 / 2) * 8))
  return Math.max(leastBytes, evenBytes) * 2 ** doublings
}

/** Parts in memory, one being filled while the others are on their way: fewer where they are large. */
const mostBuffers = 4
const buffersLimitBytes = 128 * mebibyte

/** How many parts of a size one object may have in memory at once. */
export function partBuffers(partBytes: number): number {
  return Math.max(2, Math.min(mostBuffers, Math.floor(buffersLimitBytes / partBytes)))
}
