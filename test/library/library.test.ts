import { readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { expect, test } from "vitest"
import {
  backup,
  type LogEntry,
  list,
  PgstowError,
  ResultError,
  restore,
  verify,
} from "../../task/library/library.ts"
import { setScene } from "../support/scene.ts"

const storages = ["file:///var/backups/pgstow"]
const connection = "postgresql://app:secret@db.example.com/orders"

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  )
}

test.each<[string, () => Promise<unknown>, string]>([
  ["no option", () => backup({} as never), "the option storages of backup is missing"],
  ["nothing", () => backup(undefined as never), "what backup is given is missing"],
  ["no storage", () => list({ storages: [] }), "the option storages of list must name at least one storage"],
  ["no recipient", () => backup({ storages, connection }), "the option recipients of backup is missing"],
  [
    "recipients in vain",
    () => backup({ storages, connection, recipients: ["age1…"], unencrypted: true }),
    "the options recipients and unencrypted of backup contradict each other",
  ],
  [
    "an empty list of recipients",
    () => backup({ storages, connection, recipients: [] }),
    "the option recipients of backup must name a public key",
  ],
  [
    "a typo",
    () => backup({ storages, connection, unencrypted: true, exclude: ["x"] } as never),
    "backup knows no option exclude",
  ],
  [
    "too many jobs",
    () => restore({ storages, connection, jobs: 65 }),
    'the option jobs of restore must be "auto", or a whole number from 1 to 64',
  ],
  [
    "a text for a flag",
    () => verify({ storages, deep: "yes" } as never),
    "the option deep of verify must be a boolean",
  ],
  [
    "a text for a list",
    () => list({ storages: "file:///x" } as never),
    "the option storages of list must be an array",
  ],
  [
    "a key in vain",
    () => verify({ storages, identity: "AGE-SECRET-KEY-1SECRET" }),
    "the option identity of verify is of no use without deep",
  ],
])("%s is refused by the option's name", async (_, call, message) => {
  const failure = await failureOf(call())
  expect(failure).toBeInstanceOf(PgstowError)
  expect(failure).toMatchObject({ kind: "usage", message })
  expect(JSON.stringify(failure)).not.toMatch(/secret/i)
})

test("a damaged copy rejects with what was found, and one good of two with both", async () => {
  const { server, database, folder, recipient } = await setScene()
  await server.psql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id", database)
  const both = ["one", "two"].map((name) => `file://${folder}/${name}`)
  const common = { storages: both, env: { PATH: process.env.PATH } }
  const heard: LogEntry[] = []
  const made = await backup({
    ...common,
    connection: server.url(database),
    recipients: [recipient],
    clientFolders: [server.binDir],
    onLog: (entry) => heard.push(entry),
  })
  expect(made.storages.map(({ state }) => state)).toEqual(["verified", "verified"])
  expect(heard.map(({ level }) => level)).toContain("info")

  const damaged = join(folder, "two", database, made.id)
  const [object = ""] = (await readdir(damaged)).filter((name) => name.startsWith("main."))
  await writeFile(join(damaged, object), "no dump")
  const failure = await failureOf(verify({ ...common, backup: made.id }))
  expect(failure).toBeInstanceOf(ResultError)
  expect(failure).toMatchObject({
    name: "PgstowError",
    kind: "damaged",
    exitCode: 6,
    result: [{ kind: "verified" }, { kind: "failed", storage: both[1] }],
  })
})

test("its signal stops a backup, which leaves none behind, and it waits for nothing afterwards", async () => {
  const { server, database, storage, env } = await setScene()
  await server.psql("CREATE TABLE orders AS SELECT generate_series(1, 200000) AS id", database)
  const stopped = new AbortController()
  const failure = await failureOf(
    backup({
      storages: [storage],
      connection: server.url(database),
      unencrypted: true,
      env: { ...env, PATH: process.env.PATH },
      clientFolders: [server.binDir],
      signal: stopped.signal,
      onProgress: () => stopped.abort(new Error("enough")),
    }),
  )
  expect(failure).toMatchObject({ kind: "interrupted", message: "stopped by its signal" })
  expect(await failureOf(list({ storages: [storage] }))).toMatchObject({ kind: "notFound" })
  const before = await failureOf(list({ storages: [storage], signal: AbortSignal.abort() }))
  expect(before).toMatchObject({ kind: "interrupted" })
})
