import type { Random } from "./random.ts"

/** Ways to damage bytes. What comes out may be what went in, where there is too little of it. */
export const damages: Readonly<Record<string, (bytes: Buffer, random: Random) => Buffer>> = {
  "a bit is flipped": (bytes, random) => {
    const after = Buffer.from(bytes)
    const at = random.below(bytes.length)
    after[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    return after
  },
  "it ends early": (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  "its last byte is missing": (bytes) => bytes.subarray(0, -1),
  "it ends at the end of a chunk": (bytes) =>
    // age seals 64 KiB at a time, with 16 bytes each that prove them.
    bytes.subarray(0, Math.max(0, bytes.length - (bytes.length % (64 * 1024 + 16)) - 1)),
  "it is empty": () => Buffer.alloc(0),
  "bytes follow its end": (bytes, random) => Buffer.concat([bytes, random.bytes(random.between(1, 100))]),
  "it comes twice": (bytes) => Buffer.concat([bytes, bytes]),
  "some bytes are zero": (bytes, random) => {
    const [start, end] = rangeIn(bytes, random)
    return Buffer.from(bytes).fill(0, start, end)
  },
  "some bytes are missing": (bytes, random) => {
    const [start, end] = rangeIn(bytes, random)
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
  },
  "some bytes come twice": (bytes, random) => {
    const [start, end] = rangeIn(bytes, random)
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(start)])
  },
  "two blocks have changed places": (bytes, random) => {
    const size = Math.max(1, Math.min(random.pick([1, 16, 4096, 65552]), Math.floor(bytes.length / 2)))
    const first = random.below(Math.max(1, Math.floor(bytes.length / 2) - size + 1))
    const second = random.between(first + size, Math.max(first + size, bytes.length - size))
    const after = Buffer.from(bytes)
    bytes.copy(after, first, second, second + size)
    bytes.copy(after, second, first, first + size)
    return after
  },
  "it begins late": (bytes, random) => bytes.subarray(random.between(1, Math.max(1, bytes.length - 1))),
  "it is something else": (bytes, random) => random.bytes(Math.min(bytes.length, 5_000)),
}

function rangeIn(bytes: Buffer, random: Random): [start: number, end: number] {
  const start = random.below(bytes.length)
  return [start, Math.min(bytes.length, start + random.pick([1, 2, 16, 512, 4096]))]
}
