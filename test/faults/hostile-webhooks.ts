import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createServer, type RequestListener } from "node:http"
import { join } from "node:path"
import { startWebhook } from "../support/webhook.ts"
import type { Attack, AttackWorld } from "./attack.ts"
import { toldBy } from "./bed.ts"
import { escapes } from "./hostile-text.ts"

/** What a webhook may delay the end of a run by. */
const endsWithinMs = 60_000

/** Runs a backup that a webhook is told of, and throws unless it ends well, in time, and gives no secret away. */
async function notify(world: AttackWorld, listener: RequestListener): Promise<void> {
  const token = "hook-3f9c1c0a7be84d55"
  world.bed.guard(token)
  const server = createServer(listener)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new TypeError("a TCP server has a port")
  try {
    const ended = await world.bed.run(["backup"], {
      env: {
        ...world.env,
        DATABASE_URL: world.source.url("small"),
        PGSTOW_STORAGE: await world.newStorage(),
        PGSTOW_NOTIFY: `format=webhook,level=all,http://127.0.0.1:${address.port}/${token}`,
      },
      withinMs: endsWithinMs,
    })
    if (ended.exitCode !== 0) throw new Error(toldBy(ended))
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const misbehaving: Readonly<Record<string, RequestListener>> = {
  "it never answers": () => {},
  "it answers without an end": (_, response) => {
    response.writeHead(200)
    const more = () => response.write("x".repeat(64 * 1024), () => setImmediate(more))
    more()
  },
  "it answers a byte a second": (_, response) => {
    response.writeHead(500)
    const drip = setInterval(() => response.write("x"), 1_000)
    response.once("close", () => clearInterval(drip))
  },
  "it answers with what it was asked, and with what a terminal obeys": (request, response) => {
    response.writeHead(400, { "content-type": "text/plain; charset=utf-8" })
    response.end(`${request.url} ${escapes.join("")}\n{"level":"error","message":"made up"}\n`)
  },
  "it breaks the connection": (request) => void request.socket.destroy(),
  "it has a thousand headers": (_, response) => {
    response.writeHead(
      200,
      Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`x-${n}`, "y".repeat(10)])),
    )
    response.end()
  },
}

const listeners = Object.entries(misbehaving).map(
  ([what, listener]): Attack => ({
    title: `a hostile webhook: ${what}`,
    run: (world) => notify(world, listener),
  }),
)

const redirects: Attack = {
  title: "a hostile webhook: it sends the message elsewhere",
  run: async (world, random) => {
    const elsewhere = await startWebhook()
    try {
      await notify(world, (_, response) =>
        response
          .writeHead(random.pick([301, 302, 303, 307, 308]), { location: `${elsewhere.origin}/elsewhere` })
          .end(),
      )
      if (elsewhere.seen.length > 0) throw new Error("a redirect was followed")
    } finally {
      elsewhere.stop()
    }
  },
}

const secrets: Attack = {
  title: "secrets: in no argument of any process, nor in a log",
  run: async (world) => {
    const { bed, source, env } = world
    const log = join(world.folder, "log")
    const more = {
      ...env,
      DATABASE_URL: source.url("small"),
      PGSTOW_STORAGE: await world.newStorage(),
      LOG_FILE: log,
      LOG_LEVEL: "debug",
    }
    const known = [source.password, bed.identity]
    const seen = new Set<string>()
    for (const args of [
      ["backup", "--debug"],
      ["verify", "latest", "--deep", "--debug"],
      ["restore", "latest", "--into", "secrets", "--debug"],
      ["restore", "latest", "--into", "secrets", "--yes", "--clean", "--debug"],
    ]) {
      let looks = 0
      const ended = await bed.run(args, {
        env: more,
        onStart: ({ pid, isRunning }) => {
          const look = () => {
            if (!isRunning()) return
            looks += 1
            for (const line of argumentsOf(pid))
              for (const secret of known) if (line.includes(secret)) seen.add(line)
            setTimeout(look, 2)
          }
          look()
        },
      })
      if (ended.exitCode !== 0) throw new Error(toldBy(ended))
      if (looks < 10) throw new Error("there was no time to look")
    }
    if (seen.size > 0) throw new Error(`a process had a secret among its arguments: ${seen.size} times`)
    const logged = await readFile(log, "utf8")
    if (known.some((secret) => logged.includes(secret))) throw new Error("the log holds a secret")
    await source.psql("DROP DATABASE secrets")
  },
}

export const hostileWebhooks: readonly Attack[] = [...listeners, redirects, secrets]

/** The arguments of every process that is younger than the program. */
function argumentsOf(program: number): string[] {
  return readdirSync("/proc")
    .filter((name) => Number(name) >= program)
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8")]
      } catch {
        return []
      }
    })
}
