const mebibyte = 1024 * 1024
const leastBytes = 8 * mebibyte
/** The largest part that S3 takes. */
export const mostPartBytes = 5 * 1024 * mebibyte
/** From here on, room in reserve is not worth the memory. */
const largeBytes = 512 * mebibyte

/** What storages ask of the parts of an object. */
export type PartRules = {
  /** How many there may be; may be Infinity. */
  readonly most: number
  /** Whether all but the last must be of one size. */
  readonly equal: boolean
  /** How large they are to be at least, in bytes. */
  readonly leastBytes?: number | undefined
}

/** What suits all of several storages at once. */
export function commonPartRules(rules: readonly PartRules[]): PartRules {
  return {
    most: Math.min(...rules.map(({ most }) => most)),
    equal: rules.some(({ equal }) => equal),
    leastBytes: Math.max(0, ...rules.map((each) => each.leastBytes ?? 0)),
  }
}

/**
 * How large the part number `index`, from 0, of an object is to be.
 *
 * Half of the parts allowed would hold what is expected; they are of one size. Should the object turn out larger, the
 * size doubles with every further eighth of the parts: there is room for eight times what was expected, and no part is
 * larger than the 5 GiB that S3 takes where the object is at most 5 TiB.
 *
 * Where parts must be equal, there is room for four and a half times what is expected; one and a half times it, where
 * more would need parts above 512 MiB.
 */
export function partSize(index: number, expectedBytes: number, rules: PartRules): number {
  const { most, equal } = rules
  const least = Math.max(leastBytes, Math.ceil((rules.leastBytes ?? 0) / mebibyte) * mebibyte)
  const withRoomFor = (times: number) => Math.ceil((expectedBytes * times) / most / mebibyte) * mebibyte
  if (equal) return Math.max(least, withRoomFor(1.5), Math.min(withRoomFor(4.5), largeBytes))
  const doublings = Math.max(0, 1 + Math.floor((index / most - 1 / 2) * 8))
  return Math.max(least, withRoomFor(2)) * 2 ** doublings
}

/** Parts in memory, one being filled while the others are on their way: fewer where they are large. */
const mostBuffers = 4
const buffersLimitBytes = 128 * mebibyte

/** How many parts of a size one object may have in memory at once. */
export function partBuffers(partBytes: number): number {
  return Math.max(2, Math.min(mostBuffers, Math.floor(buffersLimitBytes / partBytes)))
}
