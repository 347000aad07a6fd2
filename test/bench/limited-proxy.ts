// Passes connections on to a port of this machine, each at a limited rate, as a busy or a far server gives its rows:
// `node limited-proxy.ts PORT BYTES_A_SECOND`. Prints the port that it listens on. What passes is not looked at, so
// TLS goes through.
import { connect, createServer, type Socket } from "node:net"
import { pipeline } from "node:stream/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { untilStopped } from "./service.ts"

/** What a connection may be ahead of its rate. */
const burstMs = 50

const [target, bytesPerSecond] = process.argv.slice(2).map(Number)
if (!target || !bytesPerSecond) throw new TypeError("limited-proxy.ts PORT BYTES_A_SECOND")

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port: target, host: "127.0.0.1", noDelay: true })
  const [there, back] = [pipeline(client, upstream), pipeline(limited(upstream, bytesPerSecond), client)]
  // Either side may hang up at any time; the other one hears of it.
  Promise.all([there, back]).catch(() => {
    client.destroy()
    upstream.destroy()
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(typeof address === "object" ? address?.port : undefined)
})
await untilStopped()
process.exit()

/** A token bucket: bytes come no faster than the rate, but for a burst. */
async function* limited(source: Socket, rate: number): AsyncGenerator<Buffer> {
  let dueAt = performance.now()
  for await (const chunk of source) {
    yield chunk
    dueAt = Math.max(dueAt, performance.now() - burstMs) + (chunk.length / rate) * 1000
    const waitMs = dueAt - performance.now()
    if (waitMs > 1) await sleep(waitMs)
  }
}
