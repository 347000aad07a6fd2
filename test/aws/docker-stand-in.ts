import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"

/** What an image is here: its entry point, and the environment that it sets. */
export type Image = {
  readonly entryPoint: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
}

type Container = {
  readonly id: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly output: Buffer[]
  readonly watchers: Set<() => void>
  process?: ChildProcess
  exitCode?: number
}

/**
 * As much of Docker's API as the emulator asks for to run ECS tasks, at `url`: a container is a process of the
 * image's entry point on this machine. There is one image, whatever it is called.
 */
export type DockerStandIn = {
  readonly url: string
  /** The processes that run. */
  running(): ChildProcess[]
  close(): Promise<void>
}

export async function startDockerStandIn(image: Image): Promise<DockerStandIn> {
  const containers = new Map<string, Container>()

  const create = async (request: IncomingMessage): Promise<Container> => {
    // Docker's own shape of a request to make a container.
    const { Cmd, Env } = JSON.parse(await text(request)) as { Cmd: string[] | null; Env: string[] }
    const container: Container = {
      id: randomBytes(32).toString("hex"),
      command: Cmd ?? [],
      env: Object.fromEntries(
        Env.map((pair) => [pair.split("=", 1)[0] ?? "", pair.slice(pair.indexOf("=") + 1)]),
      ),
      output: [],
      watchers: new Set(),
    }
    containers.set(container.id, container)
    return container
  }

  const start = (container: Container) => {
    const [file, ...args] = image.entryPoint
    // What the emulator calls itself from within a container.
    const env: Record<string, string | undefined> = { PATH: process.env.PATH }
    for (const [name, value] of Object.entries({ ...image.env, ...container.env }))
      env[name] = value.replace("http://host.docker.internal:", "http://127.0.0.1:")
    const child = spawn(file, [...args, ...container.command], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    })
    container.process = child
    const write = (stream: number) => (chunk: Buffer) => {
      const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0])
      header.writeUInt32BE(chunk.length, 4)
      container.output.push(Buffer.concat([header, chunk]))
      for (const watcher of container.watchers) watcher()
    }
    child.stdout.on("data", write(1))
    child.stderr.on("data", write(2))
    child.once("close", (status, signal) => {
      container.exitCode = status ?? (signal === "SIGKILL" ? 137 : 143)
      for (const watcher of container.watchers) watcher()
    })
  }

  /** Calls `step` now and whenever something has happened, until it says that it is done. */
  const follow = (container: Container, step: () => boolean) => {
    const watcher = () => {
      if (step()) container.watchers.delete(watcher)
    }
    container.watchers.add(watcher)
    watcher()
  }

  const logs = (container: Container, response: ServerResponse) => {
    let sent = 0
    response.writeHead(200, { "content-type": "application/vnd.docker.raw-stream" })
    follow(container, () => {
      for (; sent < container.output.length; sent += 1) response.write(container.output[sent])
      if (container.exitCode === undefined) return false
      response.end()
      return true
    })
  }

  const wait = (container: Container, response: ServerResponse) =>
    follow(container, () => {
      if (container.exitCode === undefined) return false
      send(response, 200, { StatusCode: container.exitCode })
      return true
    })

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://docker")
    const path = url.pathname.replace(/^\/v[\d.]+/, "")
    const [, kind, id = "", action = ""] = path.split("/")
    if (kind === "_ping") return send(response, 200, {})
    if (kind === "version" || kind === "info")
      return send(response, 200, {
        ApiVersion: "1.44",
        MinAPIVersion: "1.24",
        Version: "25.0.0",
        Os: "linux",
        Arch: "amd64",
      })
    if (kind === "images") return send(response, 200, { Id: "sha256:0", RepoTags: [] })
    if (kind !== "containers") return send(response, 404, { message: `${path} is not here` })
    if (id === "json") return send(response, 200, [])
    if (id === "create") return send(response, 201, { Id: (await create(request)).id, Warnings: [] })
    const container = containers.get(id)
    if (container === undefined) return send(response, 404, { message: `no container ${id}` })
    if (action === "json") return send(response, 200, inspect(container))
    if (action === "logs") return logs(container, response)
    if (action === "wait") return wait(container, response)
    if (action === "start") start(container)
    else if (action === "stop") container.process?.kill("SIGTERM")
    else container.process?.kill("SIGKILL")
    send(response, 204, undefined)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => send(response, 500, { message: String(error) }))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const running = () =>
    [...containers.values()].flatMap((container) =>
      container.process && container.exitCode === undefined ? [container.process] : [],
    )
  return {
    // A TCP server's address is an object.
    url: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    running,
    close: () => {
      for (const child of running()) child.kill("SIGKILL")
      return new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

function inspect({ id, exitCode, process }: Container) {
  const running = process !== undefined && exitCode === undefined
  return {
    Id: id,
    Name: `/${id}`,
    Image: "sha256:0",
    Config: { Image: "pgstow", Tty: false, Labels: {} },
    State: {
      Status: process === undefined ? "created" : running ? "running" : "exited",
      Running: running,
      ExitCode: exitCode ?? 0,
    },
    NetworkSettings: { Networks: {}, Ports: {} },
  }
}

function send(response: ServerResponse, status: number, body: object | undefined): void {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}
