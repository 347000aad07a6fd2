import { createHash } from "node:crypto"

/** A source of chance that gives the same again for the same seed. */
export type Random = {
  /** From 0 (inclusive) to 1 (exclusive). */
  next(): number
  /** A whole number from 0 (inclusive) to `end` (exclusive). */
  below(end: number): number
  /** A whole number, both ends inclusive. */
  between(first: number, last: number): number
  chance(probability: number): boolean
  pick<Item>(items: readonly Item[]): Item
  shuffle<Item>(items: readonly Item[]): Item[]
  bytes(count: number): Buffer
}

/** The generator sfc32 (Chris Doty-Humphrey, PractRand), seeded from everything in `seed`. */
export function randomFrom(...seed: readonly (string | number)[]): Random {
  const hash = createHash("sha256").update(JSON.stringify(seed)).digest()
  let [a, b, c, counter] = [0, 4, 8, 12].map((at) => hash.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ]
  const word = () => {
    const sum = (a + b + counter) >>> 0
    counter = (counter + 1) >>> 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) >>> 0
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0
    return sum
  }
  for (let round = 0; round < 12; round++) word()
  const next = () => word() / 2 ** 32
  const below = (end: number) => Math.floor(next() * end)
  const pick = <Item>(items: readonly Item[]): Item => {
    if (items.length === 0) throw new RangeError("there is nothing to pick from")
    // The index is within the array.
    return items[below(items.length)] as Item
  }
  return {
    next,
    below,
    between: (first, last) => first + below(last - first + 1),
    chance: (probability) => next() < probability,
    pick,
    shuffle: (items) => {
      const rest = [...items]
      return items.flatMap(() => rest.splice(below(rest.length), 1))
    },
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))),
  }
}
