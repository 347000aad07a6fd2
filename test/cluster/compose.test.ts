import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { describe, expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { logOf } from "../support/failure-line.ts"
import { runPgstow, startPgstow } from "../support/pgstow.ts"
import { freePort, startPostgres } from "../support/postgres.ts"
import { fillSampleDatabase } from "../support/sample-database.ts"
import { versitygwProgram } from "../support/versitygw.ts"
import { type ComposeModel, composeModel } from "./compose-model.ts"

const file = resolve(import.meta.dirname, "../../infra/compose.yaml")
const variables = { DB_PASSWORD: "pass word", S3_SECRET_KEY: "secret-key", PGSTOW_RECIPIENTS: "age1…" }

function serviceOf(model: ComposeModel, name: string): ComposeModel["services"][string] {
  const service = model.services[name]
  if (!service) throw new Error(`there is no service ${name}`)
  return service
}

test("what is missing in .env is named, with what to put there", async () => {
  for (const [name, words] of [
    ["DB_PASSWORD", "put a password for PostgreSQL into .env"],
    ["S3_SECRET_KEY", "put a secret key for the S3 service into .env"],
    ["PGSTOW_RECIPIENTS", "put the public half of a key into .env, which pgstow keygen prints"],
  ] as const)
    for (const value of [{}, { [name]: "" }]) {
      const { [name]: _, ...others } = variables
      await expect(composeModel(file, { ...others, ...value })).rejects.toThrow(
        `required variable ${name} is missing a value: ${words}`,
      )
    }
})

test("Compose takes the file; restore is there only when it is asked for", async () => {
  expect(Object.keys((await composeModel(file, variables)).services).sort()).toEqual([
    "db",
    "pgstow",
    "storage",
  ])
  expect(Object.keys((await composeModel(file, variables, "restore")).services)).toContain("restore")
})

test("what runs pgstow can write nowhere but in /tmp, and has no rights", async () => {
  const model = await composeModel(file, variables, "restore")
  for (const name of ["pgstow", "restore"])
    expect(serviceOf(model, name)).toMatchObject({
      read_only: true,
      tmpfs: ["/tmp"],
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
    })
})

test("no secret is in a command, and the key that opens backups is given to restore alone", async () => {
  const model = await composeModel(file, { ...variables, PGSTOW_IDENTITY: "AGE-SECRET-KEY-1" }, "restore")
  for (const [name, { command, entrypoint, environment }] of Object.entries(model.services)) {
    const words = [...(entrypoint ?? []), ...(command ?? [])].join(" ")
    for (const secret of ["pass word", "secret-key", "AGE-SECRET-KEY"]) expect(words).not.toContain(secret)
    expect(Object.values(environment).includes("AGE-SECRET-KEY-1"), name).toBe(name === "restore")
  }
})

describe("its commands, with its settings, run by the built program", () => {
  test("back up a PostgreSQL into the S3 service, are healthy, and restore", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-compose-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const server = await startPostgres()
    onTestFinished(() => server.stop())
    await server.psql("CREATE DATABASE app")
    await fillSampleDatabase(server, "app", { megabytes: 2 })
    const identity = await generateX25519Identity()
    const model = await composeModel(
      file,
      {
        DB_PASSWORD: server.password,
        S3_SECRET_KEY: "of this test alone",
        PGSTOW_RECIPIENTS: await identityToRecipient(identity),
        PGSTOW_IDENTITY: identity,
      },
      "restore",
    )
    const port = await freePort()

    // The network and the volumes that an engine would make; each of the names must be there.
    const replaced = (text: string, places: readonly (readonly [string, string])[]) =>
      places.reduce((rest, [from, to]) => {
        expect(rest).toContain(from)
        return rest.replaceAll(from, to)
      }, text)
    const storage = serviceOf(model, "storage")
    const script = replaced(storage.command?.[0] ?? "", [
      ["exec versitygw", `exec ${await versitygwProgram()}`],
      [":7070", `127.0.0.1:${port}`],
      ["/data", `${folder}/data`],
    ])
    const [shell = "", ...shellArgs] = storage.entrypoint ?? []
    const s3 = spawn(shell, [...shellArgs, script], {
      env: { PATH: process.env.PATH, ...storage.environment },
      stdio: "ignore",
    })
    const s3Ended = new Promise((ended) => s3.once("exit", ended))
    onTestFinished(async () => {
      s3.kill()
      await s3Ended
    })

    const environmentOf = (name: string) => {
      const { environment } = serviceOf(model, name)
      const { PGHOST = "", PGSTOW_STORAGE = "" } = environment
      expect(PGHOST).toBe("db")
      return {
        ...environment,
        // As the image has it.
        PGSTOW_REQUIRE_TLS: "true",
        PGHOST: "127.0.0.1",
        PGPORT: String(server.port),
        PGSTOW_STORAGE: replaced(PGSTOW_STORAGE, [["storage:7070", `127.0.0.1:${port}`]]),
        PGSTOW_PG_BIN: server.binDir,
        TMPDIR: folder,
      }
    }
    for (let tries = 0; tries < 200; tries++) {
      if (await fetch(`http://127.0.0.1:${port}`).catch(() => undefined)) break
      await sleep(50)
    }

    const { healthcheck, command } = serviceOf(model, "pgstow")
    const [, node, program, ...health] = healthcheck?.test ?? []
    expect([node, program]).toEqual(["node", "/opt/pgstow/pgstow.mjs"])
    const isHealthy = async () => (await runPgstow(health, environmentOf("pgstow"))).exitCode
    expect(await isHealthy()).not.toBe(0)
    const running = startPgstow(command ?? [], environmentOf("pgstow"), { cwd: folder })
    const ended = running.finished.then(({ stderr }) => Promise.reject(new Error(stderr)))
    ended.catch(() => {})
    const succeeded = async () => {
      while (!/the run of [^"]* succeeded/.test(running.stderr())) await sleep(100)
    }
    await Promise.race([succeeded(), ended])
    expect(await isHealthy()).toBe(0)
    running.kill("SIGTERM")
    const { exitCode, stderr } = await running.finished
    expect(exitCode).toBe(0)
    expect(logOf(stderr).filter(({ level }) => level === "error")).toEqual([])
    // Retention was looked at after it.
    expect(stderr).toContain('"cleanup":')

    const restore = await runPgstow(serviceOf(model, "restore").command ?? [], environmentOf("restore"))
    expect(restore.exitCode, restore.stderr).toBe(0)
    expect(await compareDatabases({ server, name: "app" }, { server, name: "app_restored" })).toEqual([])

    const withoutKey = await runPgstow(serviceOf(model, "restore").command ?? [], {
      ...environmentOf("restore"),
      PGSTOW_IDENTITY: "",
    })
    expect(withoutKey.exitCode).toBe(7)
  })
})
