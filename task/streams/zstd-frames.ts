/** Something that is no Zstandard frame stands where one should begin. */
export class FrameError extends Error {
  override name = "FrameError"
}

/**
 * Cuts a stream of Zstandard frames so that no chunk holds bytes of two of them. Node's decompressor needs that:
 * it silently drops what follows a frame in the same chunk (nodejs/node#66078).
 *
 * Throws a FrameError where something else follows. The insides of frames are left to the decompressor.
 */
export async function* cutAtFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const endsIn = frameEnds()
  for await (const chunk of source) {
    let from = 0
    for (const end of endsIn(chunk)) {
      yield chunk.subarray(from, end)
      from = end
    }
    if (from < chunk.length) yield chunk.subarray(from)
  }
}

/** A function that is given a stream's chunks one by one, and says where in the chunk frames end. */
function frameEnds(): (chunk: Buffer) => number[] {
  const steps = walkFrames()
  let step = steps.next().value
  let seen = Buffer.alloc(0)
  let left = step.bytes
  return (chunk) => {
    const ends: number[] = []
    let at = 0
    for (;;) {
      if (left === 0) {
        if (step.endsFrame) ends.push(at)
        step = steps.next(seen).value
        seen = Buffer.alloc(0)
        left = step.bytes
      } else if (at < chunk.length) {
        const some = chunk.subarray(at, at + left)
        if (step.wanted) seen = Buffer.concat([seen, some])
        at += some.length
        left -= some.length
      } else return ends
    }
  }
}

/** So many bytes to go over; to be handed back where they are wanted. */
type Step = { readonly bytes: number; readonly wanted: boolean; readonly endsFrame: boolean }

const read = (bytes: number): Step => ({ bytes, wanted: true, endsFrame: false })
const skip = (bytes: number): Step => ({ bytes, wanted: false, endsFrame: false })
const skipToEnd = (bytes: number): Step => ({ bytes, wanted: false, endsFrame: true })

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a5

/** RFC 8878, section 3.1. */
function* walkFrames(): Generator<Step, never, Buffer> {
  for (;;) {
    const magic = (yield read(4)).readUInt32LE()
    if (magic >>> 4 === skippableMagic) {
      yield skipToEnd((yield read(4)).readUInt32LE())
      continue
    }
    if (magic !== frameMagic) throw new FrameError("what follows is not a Zstandard frame")
    const descriptor = (yield read(1)).readUInt8()
    const singleSegment = (descriptor >> 5) & 1
    const windowBytes = 1 - singleSegment
    const dictionaryBytes = (1 << (descriptor & 3)) >> 1
    const sizeFlag = descriptor >> 6
    const sizeBytes = sizeFlag === 0 ? singleSegment : 1 << sizeFlag
    yield skip(windowBytes + dictionaryBytes + sizeBytes)
    for (let last = false; !last; ) {
      const block = (yield read(3)).readUIntLE(0, 3)
      const repeatsOneByte = ((block >> 1) & 3) === 1
      last = (block & 1) === 1
      yield skip(repeatsOneByte ? 1 : block >> 3)
    }
    const checksumBytes = descriptor & 4
    yield skipToEnd(checksumBytes)
  }
}
