import { connect, type Socket } from "node:net"
import { onTestFinished } from "vitest"
import type { PostgresServer } from "./postgres.ts"

/**
 * Clients as a pool has them: `count` connections to `database`, each made again at once when the server has ended it.
 * Resolves when all are there. They go when the test ends.
 */
export async function keepConnected(server: PostgresServer, database: string, count: number): Promise<void> {
  const sockets = new Set<Socket>()
  let isOver = false
  const keep = (whenReady: () => void) => {
    if (isOver) return
    const socket = connect(`${server.socketDir}/.s.PGSQL.${server.port}`)
    sockets.add(socket)
    socket.once("connect", () => socket.write(startupMessage(database)))
    // The server's first answer to whom it lets in is R, for authentication.
    socket.once("data", (answer) => answer.toString("latin1").startsWith("R") && whenReady())
    socket.on("error", () => {}) // Is followed by "close".
    socket.once("close", () => {
      sockets.delete(socket)
      keep(whenReady)
    })
    socket.resume()
  }
  onTestFinished(() => {
    isOver = true
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(Array.from({ length: count }, () => new Promise<void>((resolve) => keep(resolve))))
}

/** PostgreSQL documentation, "Message Formats": its length, the protocol's version 3.0, and settings by name and value. */
function startupMessage(database: string): Buffer {
  const settings = Buffer.from(["user", "postgres", "database", database, "", ""].join("\0"))
  const message = Buffer.alloc(8)
  message.writeInt32BE(message.length + settings.length)
  message.writeInt32BE(3 << 16, 4)
  return Buffer.concat([message, settings])
}
