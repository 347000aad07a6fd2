import { setTimeout as wait } from "node:timers/promises"
import { S3ServiceException } from "@aws-sdk/client-s3"
import { isS3Error } from "./s3-failure.ts"

/** What is stored under a key: exactly what was sent, something else, nothing, or what can't be told. */
export type Found = "ours" | "another" | "nothing" | "unknown"

export type ConditionalPut = {
  /** Sends the request that stores an object where there is none (`If-None-Match: *`). */
  readonly send: () => Promise<unknown>
  /** Looks at what is stored under its key. */
  readonly look: () => Promise<Found>
  readonly signal?: AbortSignal | undefined
}

const maxTries = 5
const waitMs = 200

/**
 * Stores an object where there is none. Gives "another" where somebody else's is there already, and rejects where
 * the service stores nothing, or can't make up its mind.
 *
 * A refusal (412) is not the end: an earlier attempt of the same request may have stored the object, and only its
 * answer been lost. So what is there is looked at. Where that is not allowed, the request is sent a second time.
 * Refused again, the object is ours if an answer was lost before, since nobody else has a key that is random; it is
 * another one if none was.
 */
export async function putIfAbsent({ send, look, signal }: ConditionalPut): Promise<"ours" | "another"> {
  let answerLost = false
  for (let tries = 1; ; tries++) {
    try {
      await send()
      return "ours"
    } catch (error) {
      answerLost ||= error instanceof S3ServiceException && (error.$metadata.attempts ?? 1) > 1
      const isLast = tries === maxTries
      if (isS3Error(error, "ConditionalRequestConflict", "OperationAborted") && !isLast) {
        await wait(waitMs * 2 ** tries, undefined, signal ? { signal } : {})
        continue
      }
      if (!isS3Error(error, 412)) throw error
      const found = await look()
      if (found === "ours" || found === "another") return found
      if (found === "unknown" && tries > 1) return answerLost ? "ours" : "another"
      if (isLast)
        throw new Error("the service says that there is such an object already, and has none", {
          cause: error,
        })
    }
  }
}
