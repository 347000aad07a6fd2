import { once } from "node:events"
import type { Socket } from "node:net"
import { buffer } from "node:stream/consumers"

/** What goes wrong with a request. "The body" is that of the request, or of the answer where only it has one. */
export type Fault =
  /** The connection is closed before anything is read. */
  | "refuse"
  /** The connection is closed halfway through the body. */
  | "break"
  /** Halfway through the body, nothing more is read or sent. */
  | "stall"
  /** The request is read, nothing is done, and no answer comes. */
  | "hang"
  /** The request is carried out, and the connection is closed instead of an answer. */
  | "lose-answer"
  /** The request is answered as if it had been carried out, and nothing is done. */
  | "swallow"
  /** All of an object is sent, whatever part of it was asked for. */
  | "whole"
  /** The request is carried out with the first half of its body, as if that were all. */
  | "truncate"
  /** The first byte of the request's body comes as another. */
  | "flip"
  /** The request is refused by this answer. */
  | {
      readonly status: number
      readonly code: string
      readonly message?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** The request is not carried out, and this is the answer, with success and no type. */
  | { readonly answer: string }
  /** The body goes no faster than this. */
  | { readonly bytesPerSecond: number }

/** The first half of a body, once all of it has come. */
export async function* firstHalf(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const whole = await buffer(body)
  yield whole.subarray(0, whole.length / 2)
}

/** A body whose first byte was changed on its way. */
export async function* flipped(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isFirst = true
  for await (const chunk of body) {
    if (isFirst) chunk[0] = (chunk[0] ?? 0) ^ 1
    isFirst = false
    yield chunk
  }
}

/** Passes on a body of `sizeBytes` as the fault has it. */
export async function* faultyBody(
  fault: Fault | undefined,
  bytes: AsyncIterable<Buffer>,
  sizeBytes: number,
  socket: Socket,
): AsyncGenerator<Buffer> {
  let passed = 0
  for await (const chunk of bytes) {
    const half = passed + chunk.length > sizeBytes / 2
    if (half && fault === "break") socket.destroy()
    if (half && (fault === "break" || fault === "stall")) {
      if (!socket.destroyed) await once(socket, "close")
      throw new Error(`the injected fault "${fault}" ended this body`)
    }
    if (typeof fault === "object" && "bytesPerSecond" in fault)
      await new Promise((resolve) => setTimeout(resolve, (chunk.length / fault.bytesPerSecond) * 1000))
    passed += chunk.length
    yield chunk
  }
}
