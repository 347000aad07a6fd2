import { type ChildProcess, spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { text } from "node:stream/consumers"
import { setTimeout as sleep } from "node:timers/promises"
import * as z from "zod"
import { bundleProgram } from "../../task/build/bundle-program.ts"
import { freePort, type PostgresCluster, startPostgres } from "../support/postgres.ts"
import { startDockerStandIn } from "./docker-stand-in.ts"
import { startEmulator } from "./emulator.ts"

const root = resolve(import.meta.dirname, "../..")

export type Ran = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }

/** What the webhook was told. */
export type Told = {
  readonly type: string
  readonly database: string
  readonly title: string
  readonly text: string
  readonly id?: string
  readonly error?: string
  readonly removed?: readonly string[]
  readonly report?: string
  readonly into?: string
}

/**
 * An account with pgstow in it: the emulator, the deployed stack, a PostgreSQL server that insists on TLS, and a
 * webhook that is told everything.
 */
export type Cloud = {
  readonly server: PostgresCluster
  /** The stack's outputs. */
  outputs(): Promise<Readonly<Record<string, string>>>
  /** Deploys the stack with these settings beside those that this cloud needs. */
  deploy(settings: object): Promise<Ran>
  /** Mends what the emulator makes of task definitions; `deploy` has done it. */
  mendSecrets(): Promise<void>
  /** Runs AWS's command line, and gives the JSON that it prints. */
  aws(...args: readonly string[]): Promise<unknown>
  /** Runs a command as a person would paste it into a shell. */
  shell(command: string): Promise<Ran>
  /** Waits until the webhook was told something that matches, which it was not when `after` was taken. */
  told(match: Partial<Told>, after?: number): Promise<Told>
  /** How much the webhook was told so far. */
  toldSoFar(): number
  /** The tasks' processes that run. */
  running(): ChildProcess[]
  readonly emulatorLog: string
  /** What roles asked of AWS: a line of JSON for each request. */
  readonly callsFile: string
  stop(): Promise<void>
}

export async function startCloud(): Promise<Cloud> {
  const parts = new AsyncDisposableStack()
  try {
    return await buildCloud(parts)
  } catch (error) {
    await parts.disposeAsync()
    throw error
  }
}

/** Whatever was started is on `parts`, the last first, also where this rejects. */
async function buildCloud(parts: AsyncDisposableStack): Promise<Cloud> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-cloud-"))
  parts.defer(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, "pgstow.mjs")
  bundleProgram(program)
  const server = await startPostgres({ tls: true })
  parts.defer(() => server.stop())
  const webhook = await startWebhook()
  parts.defer(() => webhook.close())
  const docker = await startDockerStandIn({
    entryPoint: [process.execPath, program],
    // What the real image has: its trusted certificates, and its client programs.
    env: {
      PGSTOW_CA_FILE: server.rootCertificate ?? "",
      PGSTOW_REQUIRE_TLS: "true",
      PGSTOW_PG_BIN: server.binDir,
    },
  })
  parts.defer(() => docker.close())
  const emulator = await startEmulator(folder, docker.url)
  parts.defer(() => emulator.stop())

  const shell = (command: string): Promise<Ran> =>
    finished(
      spawn("/bin/sh", ["-c", command], { cwd: root, env: emulator.env, stdio: ["ignore", "pipe", "pipe"] }),
    )
  const mustRun = async (command: string): Promise<string> => {
    const { exitCode, stdout, stderr } = await shell(command)
    if (exitCode === 0) return stdout
    throw new Error(`${command} exited with ${exitCode}: ${stderr}\n${stdout}`)
  }
  const aws = async (...args: readonly string[]): Promise<unknown> => {
    const quoted = args.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`)
    const answer = await mustRun(`aws --output json ${quoted.join(" ")}`)
    const json: unknown = answer.trim() === "" ? undefined : JSON.parse(answer)
    return json
  }
  const secret = async (name: string, value: string) => {
    const file = join(folder, "secret")
    await writeFile(file, value)
    await aws("secretsmanager", "create-secret", "--name", name, "--secret-string", `file://${file}`)
    await rm(file)
  }

  const outputsFile = join(folder, "outputs.json")
  const deploy = async (settings: object) => {
    const config = join(folder, "pgstow.config.json")
    const webhooks = [{ secret: "pgstow/webhook", level: "all" }]
    await writeFile(
      config,
      JSON.stringify({
        image: "pgstow:test",
        drillImage: "pgstow:drill",
        notifications: { webhooks },
        ...settings,
      }),
    )
    const options = ["--require-approval never", `-c config=${config}`, `--outputs-file ${outputsFile}`]
    const ran = await shell(`cdk deploy --output ${folder}/cdk.out ${options.join(" ")}`)
    await emulator.mendSecrets()
    return ran
  }

  await server.createDatabase("orders")
  await server.createDatabase("shop")
  await secret("pgstow/orders", server.url("orders"))
  await secret(
    "pgstow/shop",
    JSON.stringify({
      username: "postgres",
      password: server.password,
      host: "127.0.0.1",
      port: server.port,
      dbname: "shop",
    }),
  )
  await secret("pgstow/gone", `postgresql://app:secret@127.0.0.1:${await freePort()}/gone`)
  await secret("pgstow/webhook", webhook.url)
  await mustRun(`cdk bootstrap aws://000000000000/eu-central-1 --output ${folder}/cdk.out`)

  return {
    server,
    deploy,
    aws,
    shell,
    mendSecrets: () => emulator.mendSecrets(),
    emulatorLog: emulator.logFile,
    callsFile: emulator.callsFile,
    running: () => docker.running(),
    outputs: async () => {
      const all = z.record(z.string(), z.record(z.string(), z.string()))
      return all.parse(JSON.parse(await readFile(outputsFile, "utf8"))).Pgstow ?? {}
    },
    toldSoFar: () => webhook.told.length,
    told: async (match, after = 0) => {
      const wanted = Object.entries(match)
      for (const until = Date.now() + 110_000; Date.now() < until; await sleep(100)) {
        const found = webhook.told
          .slice(after)
          .find((told) =>
            wanted.every(([name, value]) => Object.entries(told).some(([n, v]) => n === name && v === value)),
          )
        if (found) return found
      }
      const heard = webhook.told.slice(after).map(({ type, database, text }) => ({ type, database, text }))
      throw new Error(`nobody was told of ${JSON.stringify(match)}, but of ${JSON.stringify(heard, null, 1)}`)
    },
    stop: () => parts.disposeAsync(),
  }
}

const toldSchema = z.looseObject({
  type: z.string(),
  database: z.string(),
  title: z.string(),
  text: z.string(),
  id: z.string().optional(),
  error: z.string().optional(),
  removed: z.array(z.string()).optional(),
  report: z.string().optional(),
  into: z.string().optional(),
})

async function startWebhook() {
  const told: Told[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const json = toldSchema.safeParse(JSON.parse(body))
      if (json.success) told.push(json.data)
      response.writeHead(json.success ? 200 : 400).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    told,
    close: () => new Promise<void>((done) => server.close(() => done())),
  }
}

async function finished(child: ReturnType<typeof spawn>): Promise<Ran> {
  const [out, errors, exitCode] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    new Promise<number | null>((done, fail) => {
      child.once("error", fail)
      child.once("close", done)
    }),
  ])
  return { exitCode, stdout: out, stderr: errors }
}
