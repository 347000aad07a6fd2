import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Answer, Fault, S3Operation, SeenRequest } from "./faulty-proxy.ts"
import type { Random } from "./random.ts"

/** What may go wrong with a request to an S3 service. */
export type StorageFault = {
  readonly on: readonly S3Operation[]
  /**
   * What it lets a reader believe, who has nothing else to go by: `bytes`, that objects are damaged or missing;
   * `listing`, that there are fewer backups, or none.
   */
  readonly misleads?: "bytes" | "listing" | undefined
  /** How often it may be committed in a row; once, three times or again and again without it. */
  readonly times?: readonly number[]
  /** It concerns one object, whichever is the first. */
  readonly oneKey?: boolean
  make(
    seen: SeenRequest,
    options: { readonly random: Random; readonly bucketFolder: string; readonly trap: string },
  ): Fault
}

const all: readonly S3Operation[] = [
  "List",
  "ListUploads",
  "Get",
  "Head",
  "Put",
  "Create",
  "UploadPart",
  "Complete",
  "Abort",
  "Delete",
]
const writes: readonly S3Operation[] = ["Put", "Create", "UploadPart", "Complete", "Abort", "Delete"]

/** As often as it is asked for. */
const lasting: readonly number[] = [Number.POSITIVE_INFINITY]

export const storageFaults: Readonly<Record<string, StorageFault>> = {
  "500": refusal(all, 500, "InternalError"),
  "500, and done all the same": {
    on: writes,
    make: () => ({ reaches: true, outcome: () => error(500, "InternalError") }),
  },
  "503": refusal(all, 503, "SlowDown"),
  "429": refusal(all, 429, "TooManyRequests"),
  "403": { ...refusal(all, 403, "AccessDenied"), times: lasting },
  "403 for one object": {
    ...refusal(["Get", "Head", "Put"], 403, "AccessDenied"),
    times: lasting,
    oneKey: true,
    misleads: "bytes",
  },
  "expired credentials": { ...refusal(all, 400, "ExpiredToken"), times: lasting },
  "a clock that is wrong": { ...refusal(all, 403, "RequestTimeTooSkewed"), times: lasting },
  "no such bucket": { ...refusal(all, 404, "NoSuchBucket"), times: lasting },
  "an archived object": {
    ...refusal(["Get"], 403, "InvalidObjectState"),
    times: lasting,
    oneKey: true,
    misleads: "bytes",
  },
  "no such key": { ...refusal(["Get", "Head"], 404, "NoSuchKey"), misleads: "bytes" },
  "a bare 404": {
    on: ["Get", "Head"],
    misleads: "bytes",
    make: () => ({ reaches: false, outcome: () => answer(404, "") }),
  },
  "no such upload": refusal(["UploadPart", "Complete", "Abort"], 404, "NoSuchUpload"),
  "412, and nothing stored": refusal(["Put"], 412, "PreconditionFailed"),
  "409": refusal(["Put", "Complete"], 409, "ConditionalRequestConflict"),
  "501": refusal(["Put", "Create", "Complete", "ListUploads"], 501, "NotImplemented"),
  "507": refusal(writes, 507, "XMinioStorageFull"),
  "the connection breaks": { on: all, make: () => ({ reaches: false, outcome: "break" }) },
  "the connection breaks when it is done": { on: all, make: () => ({ reaches: true, outcome: "break" }) },
  "no answer": { on: all, times: [1], make: () => ({ reaches: false, outcome: "silence" }) },
  "no answer when it is done": {
    on: writes,
    times: [1],
    make: () => ({ reaches: true, outcome: "silence" }),
  },
  "the body breaks off": {
    on: ["Get", "List", "ListUploads"],
    make: (_, { random }) =>
      altered((own) => ({ ...own, breakAt: random.below(Math.max(1, own.body.length)) })),
  },
  "a shorter body": {
    on: ["Get"],
    misleads: "bytes",
    make: (_, { random }) =>
      altered((own) => withBody(own, own.body.subarray(0, random.below(own.body.length + 1)))),
  },
  "a bit flipped": {
    on: ["Get"],
    misleads: "bytes",
    make: (_, { random }) =>
      altered((own) => {
        const body = Buffer.from(own.body)
        const at = random.below(Math.max(1, body.length))
        if (body.length > 0) body[at] = (body[at] ?? 0) ^ 4
        return withBody(own, body)
      }),
  },
  "another ETag": {
    on: ["Get", "Head", "Put", "UploadPart", "Complete"],
    make: () =>
      altered((own) => ({ ...own, headers: { ...own.headers, etag: '"0123456789abcdef0123456789abcdef"' } })),
  },
  "no ETag": {
    on: ["Get", "Put", "UploadPart", "Complete"],
    make: () => altered((own) => ({ ...own, headers: { ...own.headers, etag: undefined } })),
  },
  "another length": {
    on: ["Head"],
    make: () => altered((own) => ({ ...own, headers: { ...own.headers, "content-length": "3" } })),
  },
  "all of it, where a range was asked for": {
    on: ["Get"],
    make: (seen, { bucketFolder }) =>
      seen.headers.range === undefined
        ? // So that the rest is asked for.
          altered((own) => ({ ...own, breakAt: Math.floor(own.body.length / 2) }))
        : altered((own) => ({ ...withBody(own, readFileSync(join(bucketFolder, seen.key))), status: 200 })),
  },
  "an answer that is HTML": {
    on: all,
    misleads: "bytes",
    make: () => ({
      reaches: false,
      outcome: () =>
        answer(200, "<!DOCTYPE html><html><body>Please sign in</body></html>", {
          "content-type": "text/html",
        }),
    }),
  },
  "an empty answer": {
    on: all.filter((operation) => operation !== "Delete" && operation !== "Abort"),
    misleads: "bytes",
    make: () => ({ reaches: false, outcome: () => answer(200, "") }),
  },
  "200, and an error in the body": {
    on: ["Complete", "Delete", "List", "ListUploads", "Create"],
    make: () => ({ reaches: false, outcome: () => ({ ...error(500, "InternalError"), status: 200 }) }),
  },
  "a redirect to elsewhere": {
    on: all,
    make: (_, { trap, random }) => ({
      reaches: false,
      outcome: () => answer(random.pick([301, 302, 307, 308]), "", { location: `${trap}/elsewhere` }),
    }),
  },
  "a list that is empty": {
    on: ["List"],
    misleads: "listing",
    make: () =>
      altered((own) =>
        withBody(own, Buffer.from(String(own.body).replaceAll(/<(Contents|CommonPrefixes)>.*?<\/\1>/gs, ""))),
      ),
  },
  "a list that lacks entries": {
    on: ["List"],
    misleads: "listing",
    make: (_, { random }) =>
      altered((own) =>
        withBody(
          own,
          Buffer.from(
            String(own.body).replaceAll(/<(Contents|CommonPrefixes)>.*?<\/\1>/gs, (entry) =>
              random.chance(0.5) ? "" : entry,
            ),
          ),
        ),
      ),
  },
  "a list cut short, without a way on": {
    on: ["List"],
    make: () =>
      altered((own) =>
        withBody(
          own,
          Buffer.from(
            String(own.body)
              .replace("<IsTruncated>false<", "<IsTruncated>true<")
              .replace(/<(Contents|CommonPrefixes)>.*?<\/\1>/s, ""),
          ),
        ),
      ),
  },
}

/** Those that a service may do for a moment, and that the next attempt gets over. */
export const passingFaults = [
  "500",
  "503",
  "the connection breaks",
  "the connection breaks when it is done",
  "the body breaks off",
]

function refusal(on: readonly S3Operation[], status: number, code: string): StorageFault {
  return { on, make: () => ({ reaches: false, outcome: () => error(status, code) }) }
}

function altered(change: (own: Answer) => Answer): Fault {
  return { reaches: true, outcome: (own) => change(own ?? error(502, "NoAnswer")) }
}

function withBody(own: Answer, body: Buffer): Answer {
  const { "transfer-encoding": _, ...headers } = own.headers
  return { ...own, headers: { ...headers, "content-length": String(body.length) }, body }
}

function error(status: number, code: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>made up</Message></Error>`
  return answer(status, body, { "content-type": "application/xml" })
}

function answer(status: number, body: string, headers: Record<string, string> = {}): Answer {
  return {
    status,
    headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
    body: Buffer.from(body),
  }
}
