import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import { text } from "node:stream/consumers"

/** What the other side does with a request: it answers, or breaks the connection, or says nothing at all. */
export type Answer =
  | { readonly status: number; readonly headers?: Record<string, string> }
  | "hang up"
  | "silence"

export type Seen = { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }

/** A web server that takes what it is sent. */
export type Webhook = {
  readonly origin: string
  /** Every request so far. */
  readonly seen: readonly Seen[]
  /** What the next requests are answered, in turn; 200 where nothing is left. */
  readonly answers: Answer[]
  stop(): void
}

export async function startWebhook(): Promise<Webhook> {
  const seen: Seen[] = []
  const answers: Answer[] = []
  const server = createServer((request, response) => {
    const answer = answers.shift() ?? { status: 200 }
    const reply = (body: string) => {
      seen.push({ path: request.url ?? "", headers: request.headers, body })
      if (answer === "hang up") request.socket.destroy()
      else if (answer !== "silence") response.writeHead(answer.status, answer.headers).end("ok")
    }
    text(request).then(reply, () => {})
  })
  return {
    origin: await listen(server),
    seen,
    answers,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  return `http://127.0.0.1:${address.port}`
}
