import { randomInt } from "node:crypto"
import { createServer } from "node:net"
import { setTimeout as wait } from "node:timers/promises"
import { PgstowError } from "../errors.ts"
import { startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"
import { envForOthers } from "../processes/exec-prefix.ts"
import { tied } from "../processes/tied.ts"
import { type Bastion, parseBastion } from "./bastion.ts"
import type { Connection, Environment, Place, Tunnel } from "./connection.ts"
import { hasSeveralHosts } from "./one-host.ts"
import { brokenTunnel, refusedForward, tunnelFailure } from "./tunnel-failure.ts"

const openWithinMs = 60_000
/** Within this time ssh has said what it has to say of a connection that failed. */
const wordsWithinMs = 200

export type TunnelOptions = {
  readonly env: Environment
  readonly until?: AbortSignal | undefined
  readonly onLoss: (failure: PgstowError) => void
}

/**
 * The connection through a tunnel, which is not opened yet. libpq still knows the server by its name: certificates and
 * password files are held against that.
 *
 * @param options.until ends it. Without it, it ends with the program
 * @param options.onLoss called when ssh ends after it was open, with why
 *
 * Throws a usage error where there is no one server that a tunnel could lead to.
 */
export function throughTunnel(connection: Connection, words: string, options: TunnelOptions): Connection {
  const bastion = parseBastion(words)
  const { params, exec } = connection
  const refuse = (what: string, hint: string) => {
    throw new PgstowError("usage", what, { hint })
  }
  if (exec !== undefined)
    refuse(
      "--tunnel and --exec contradict each other",
      "Programs behind --exec connect from where they run: leave one of the two out.",
    )
  if (hasSeveralHosts(connection))
    refuse(
      "a tunnel leads to one server, and several hosts are given",
      "Name one of them in DATABASE_URL, or by --host.",
    )
  const host = params.host ?? params.hostaddr ?? ""
  if (host === "" || /^[/@]/.test(host))
    refuse(
      "a tunnel needs the server's host, as the bastion knows it",
      "Name it in DATABASE_URL or by --host; a service's own host, or a socket, won't do. On the bastion itself it is localhost.",
    )
  const server = { address: params.hostaddr ?? (options.env.PGHOSTADDR || host), port: params.port ?? "5432" }
  return { ...connection, params: { ...params, host }, tunnel: makeTunnel(bastion, server, options) }
}

function makeTunnel(
  bastion: Bastion,
  server: { readonly address: string; readonly port: string },
  { env, until, onLoss }: TunnelOptions,
): Tunnel {
  let place: Place | undefined
  let opened: Promise<void> | undefined
  let loss: PgstowError | undefined
  let refusal: string | undefined

  const begin = async (signal: AbortSignal | undefined) => {
    const here = await freePlace(Number(server.port))
    const ssh = startChild(
      tied({ file: "ssh", args: sshArguments(bastion, server, here), env: sshEnv(env) }),
      {
        stdin: "pipe",
        stdout: "pipe",
        // Ctrl-C in a terminal is for pgstow, which may still need it to clean up.
        ownSession: true,
        onStderr: (line) => {
          refusal = /open failed: (.*)/.exec(line)?.[1] ?? refusal
        },
      },
    )
    const sayItIsOpen = new Promise<void>((resolve) => ssh.stdout.once("data", () => resolve()))
    ssh.stdout.resume()
    const ended = ssh.ended.then(
      () => tunnelFailure(bastion, { status: 0, stderr: ssh.stderr() }),
      (error: unknown) => {
        const status = error instanceof ChildError ? error.exitStatus : undefined
        return tunnelFailure(bastion, { status, stderr: ssh.stderr() })
      },
    )
    const late = new AbortController()
    const waiting = signal ? AbortSignal.any([signal, late.signal]) : late.signal
    try {
      const failure = await Promise.race([
        sayItIsOpen,
        ended,
        wait(openWithinMs, undefined, { signal: waiting }).then(() =>
          tunnelFailure(bastion, { status: undefined, stderr: ssh.stderr() || "it took more than 60 s" }),
        ),
      ])
      if (failure) throw failure
    } catch (error) {
      ssh.stop()
      signal?.throwIfAborted()
      throw error
    } finally {
      late.abort()
    }
    place = here
    until?.addEventListener("abort", () => ssh.stop(), { once: true })
    void ended.then(() => {
      if (until?.aborted) return
      loss = brokenTunnel(bastion, ssh.stderr())
      onLoss(loss)
    })
  }

  return {
    bastion: bastion.words,
    place() {
      if (place === undefined) throw new TypeError("the tunnel was not opened")
      return place
    },
    open(signal) {
      opened ??= begin(signal)
      return opened
    },
    async explain(error) {
      await wait(wordsWithinMs)
      if (loss !== undefined) return loss
      if (refusal === undefined) return error
      const words = refusal
      refusal = undefined
      return refusedForward(bastion, server, words)
    },
  }
}

/** Nothing of what the user's own configuration may say for logins by hand is to get in the way. */
function sshArguments(
  { destination, port }: Bastion,
  server: { readonly address: string; readonly port: string },
  here: Place,
): string[] {
  const to = server.address.includes(":") ? `[${server.address}]` : server.address
  const options = {
    BatchMode: "yes",
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    ExitOnForwardFailure: "yes",
    ClearAllForwardings: "no",
    GatewayPorts: "no",
    ControlMaster: "no",
    ControlPath: "none",
    ConnectTimeout: "15",
    ServerAliveInterval: "15",
    ServerAliveCountMax: "3",
    RequestTTY: "no",
    RemoteCommand: "none",
    LogLevel: "INFO",
    // It is run when the port here is bound, and so says that the tunnel is there.
    PermitLocalCommand: "yes",
    LocalCommand: "echo open",
  }
  return [
    "-N",
    "-T",
    "-a",
    "-x",
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(port === undefined ? [] : ["-p", port]),
    "-L",
    `${here.address}:${here.port}:${to}:${server.port}`,
    "--",
    destination,
  ]
}

/** Its messages are in English, so that they can be understood here; its local command is run by a shell that there is. */
function sshEnv(env: Environment): Record<string, string> {
  return { ...envForOthers(env), LC_ALL: "C", SHELL: "/bin/sh" }
}

/**
 * A place that nobody listens at. It has the server's own port where that can be, since password files are held against
 * it: on Linux at an address that hardly anybody uses.
 */
async function freePlace(port: number): Promise<Place> {
  const address =
    process.platform === "linux"
      ? `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`
      : "127.0.0.1"
  return { address, port: await boundPort(address, port).catch(() => boundPort(address, 0)) }
}

function boundPort(address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen({ host: address, port, exclusive: true }, () => {
      const bound = server.address()
      server.close(() => resolve(typeof bound === "object" && bound !== null ? bound.port : port))
    })
  })
}
