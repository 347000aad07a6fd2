import { once } from "node:events"
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http"
import { buffer } from "node:stream/consumers"

/** What a request asks of an S3 service, as far as pgstow asks for it. */
export type S3Operation =
  | "List"
  | "ListUploads"
  | "Get"
  | "Head"
  | "Put"
  | "Create"
  | "UploadPart"
  | "Complete"
  | "Abort"
  | "Delete"

export type SeenRequest = {
  readonly operation: S3Operation
  /** Below the bucket; "" for what concerns the bucket. */
  readonly key: string
  readonly headers: IncomingHttpHeaders
  readonly query: URLSearchParams
}

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** After so many bytes of the body the connection breaks. */
  readonly breakAt?: number
}

/**
 * What goes wrong with a request. Whether it reaches the service first, and what becomes of the answer: the
 * connection breaks, nobody answers, or another answer is given, made from the service's own where it has one.
 */
export type Fault = {
  readonly reaches: boolean
  readonly outcome: "break" | "silence" | ((answer: Answer | undefined) => Answer)
}

export type FaultyProxy = {
  readonly url: string
  /** Makes requests go wrong from now on; without an argument, none. */
  inject(inject?: (seen: SeenRequest) => Fault | undefined): void
  /** How many requests have gone wrong since `inject`. */
  faults(): number
  close(): Promise<void>
}

/**
 * Passes requests on to an S3 service as they are, with the Host that they are signed for, but for those that are to
 * go wrong.
 */
export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  let injected: ((seen: SeenRequest) => Fault | undefined) | undefined
  let faults = 0
  const { hostname, port } = new URL(upstream)

  const forward = (incoming: IncomingMessage) => {
    const { method = "", url = "", headers } = incoming
    const asked = request({ hostname, port, method, path: url, headers, agent: false })
    incoming.pipe(asked)
    incoming.once("close", () => {
      // What its client gave up does not reach the service whole.
      if (!incoming.complete) asked.destroy()
    })
    return once(asked, "response").then(([answer]) => answer as IncomingMessage)
  }

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const fault = injected?.(seenIn(incoming))
    if (!fault) {
      const answer = await forward(incoming)
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
      answer.once("error", () => outgoing.destroy())
      return
    }
    faults += 1
    if (!fault.reaches && fault.outcome === "break") {
      // Some of what is sent has come when the connection breaks.
      incoming.once("data", () => incoming.destroy())
      incoming.once("end", () => incoming.destroy())
      return
    }
    const own = fault.reaches ? await whole(await forward(incoming)) : undefined
    incoming.resume()
    if (fault.outcome === "break") incoming.socket.destroy()
    if (typeof fault.outcome === "string") return
    if (!fault.reaches && !incoming.complete) await once(incoming, "end")
    const { status, headers, body, breakAt } = fault.outcome(own)
    outgoing.writeHead(status, headers)
    if (breakAt === undefined) outgoing.end(incoming.method === "HEAD" ? undefined : body)
    else outgoing.write(body.subarray(0, breakAt), () => incoming.socket.destroy())
  }

  const server = createServer({ keepAliveTimeout: 30_000 }, (incoming, outgoing) => {
    incoming.on("error", () => {})
    outgoing.on("error", () => {})
    // Only a connection that is gone ends here.
    serve(incoming, outgoing).catch(() => incoming.socket.destroy())
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  return {
    url: `http://127.0.0.1:${address.port}`,
    inject: (inject) => {
      injected = inject
      faults = 0
    },
    faults: () => faults,
    close: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function whole(answer: IncomingMessage): Promise<Answer> {
  return { status: answer.statusCode ?? 502, headers: answer.headers, body: await buffer(answer) }
}

function seenIn({ method = "", url = "", headers }: IncomingMessage): SeenRequest {
  const { pathname, searchParams: query } = new URL(url, "http://proxy")
  const key = decodeURIComponent(pathname).replace(/^\/[^/]*\/?/, "")
  return { operation: operationOf(method, query), key, headers, query }
}

function operationOf(method: string, query: URLSearchParams): S3Operation {
  if (method === "GET") return query.has("list-type") ? "List" : query.has("uploads") ? "ListUploads" : "Get"
  if (method === "HEAD") return "Head"
  if (method === "PUT") return query.has("partNumber") ? "UploadPart" : "Put"
  if (method === "DELETE") return query.has("uploadId") ? "Abort" : "Delete"
  return query.has("uploads") ? "Create" : query.has("uploadId") ? "Complete" : "Delete"
}
