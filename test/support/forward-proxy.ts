import { createServer, request as httpRequest } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"

/** A proxy, as companies put one between their machines and the internet. */
export type ForwardProxy = AsyncDisposable & {
  readonly url: string
  /** What it was asked for: "CONNECT host:port", "PUT http://host:port/…". */
  readonly requests: readonly string[]
}

/** @param options.credentials "user:password" that it wants */
export async function startForwardProxy(
  options: { readonly credentials?: string } = {},
): Promise<ForwardProxy> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString("base64")}`
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    if (wanted && request.headers["proxy-authorization"] !== wanted) {
      response.writeHead(407).end()
      return
    }
    const { "proxy-authorization": _, "proxy-connection": __, ...headers } = request.headers
    const onward = httpRequest(request.url ?? "", { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on("error", () => response.destroy())
    request.pipe(onward)
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  server.on("connect", (request, client: Socket) => {
    requests.push(`CONNECT ${request.url}`)
    client.on("error", () => {})
    if (wanted && request.headers["proxy-authorization"] !== wanted) {
      client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
      return
    }
    const [host = "", port = ""] = (request.url ?? "").split(":")
    const onward = connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n")
      onward.pipe(client)
      client.pipe(onward)
    })
    onward.on("error", () => client.destroy())
    onward.on("close", () => client.destroy())
    client.on("close", () => onward.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
