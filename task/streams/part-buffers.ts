/**
 * Memory for the parts of objects, used again for the next ones. New memory for each object would wait until V8 frees
 * what the last one left, and that is the more the longer it all takes.
 */
export class PartBuffers {
  #free: Buffer[] = []

  take(bytes: number): Buffer {
    const free = this.#free.pop()
    if (free?.length === bytes) return free
    // Parts of another size are over.
    this.#free = []
    return Buffer.allocUnsafeSlow(bytes)
  }

  /** Takes back what nobody reads or writes any more. */
  give(buffer: Buffer): void {
    this.#free.push(buffer)
  }
}
