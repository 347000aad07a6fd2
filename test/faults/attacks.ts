import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { startPostgres } from "../support/postgres.ts"
import type { Attack, AttackWorld } from "./attack.ts"
import { type Bed, toldBy } from "./bed.ts"
import { bombs } from "./bombs.ts"
import { type Campaign, setStage, type Trials } from "./campaign.ts"
import { hostileFiles } from "./hostile-files.ts"
import { attackBySource } from "./hostile-source.ts"
import { allAtOnce, hostileStorages } from "./hostile-storages.ts"
import { intruder } from "./hostile-text.ts"
import { hostileWebhooks } from "./hostile-webhooks.ts"
import type { Random } from "./random.ts"
import { smallDatabase } from "./small-database.ts"
import { readStoredBackups } from "./stored-backups.ts"

const attacks: readonly Attack[] = [...hostileStorages, ...hostileFiles, ...bombs, ...hostileWebhooks]

/** Attacks by whoever owns the source, the storage, an old file or a webhook. Nobody is let in, and nothing is given away. */
export const attacksCampaign: Campaign = {
  name: "attacks",
  trials: 31,
  prepare: (bed, random) => setStage((undo) => prepare(bed, random, undo)),
}

async function prepare(bed: Bed, random: Random, undo: AsyncDisposableStack): Promise<Trials> {
  const [source, target] = [await startPostgres(), await startPostgres()]
  undo.defer(() => source.stop())
  undo.defer(() => target.stop())
  for (const { password } of [source, target]) bed.guard(password)
  const folder = await bed.newFolder("attacks")
  await chmod(folder, 0o777)
  // So short that it has room in a name. The servers' user may write there.
  const canary = join(tmpdir(), `p${randomBytes(3).toString("hex")}`)
  undo.defer(() => rm(canary, { force: true }))
  const identityFile = join(folder, "key")
  await writeFile(identityFile, bed.identity, { mode: 0o600 })
  const env = {
    DATABASE_URL: target.url("postgres"),
    PGSTOW_PG_BIN: source.binDir,
    PGSTOW_RECIPIENTS: bed.recipient,
    PGSTOW_IDENTITY: bed.identity,
    PGSTOW_JOBS: "2",
    TMPDIR: folder,
  }
  let storages = 0
  const newStorage = async () => {
    storages += 1
    return `file://${folder}/storage-${storages}`
  }
  const small = await source.createDatabase("small")
  await source.psql(smallDatabase, small)
  const first = await newStorage()
  await bed.json(["backup"], { env: { ...env, DATABASE_URL: source.url(small), PGSTOW_STORAGE: first } })
  const [backup] = (await readStoredBackups(first.slice("file://".length))).backups
  if (!backup) throw new Error("there is no backup")

  const world: AttackWorld = {
    bed,
    source,
    target,
    canary,
    folder,
    env,
    backup,
    identityFile,
    newStorage,
    globalsOf: async (storage) => {
      const [stored] = (await readStoredBackups(storage.slice("file://".length))).backups
      const sealed = await readFile(join(stored?.folder ?? "", "globals.sql.zst.age"))
      const opened = execFileSync("age", ["-d", "-i", identityFile], { input: sealed })
      return execFileSync("zstd", ["-d"], { input: opened, stdio: ["pipe", "pipe", "ignore"] }).toString()
    },
    screenOf: async (args, more) => {
      const command = `stty cols 160 -onlcr; exec '${process.execPath}' '${bed.program}' ${args}`
      const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
        env: {
          PATH: process.env.PATH,
          SHELL: "/bin/sh",
          TERM: "xterm",
          HOME: "/nonexistent",
          LC_ALL: "C.UTF-8",
          ...env,
          ...more,
        },
        stdio: ["ignore", "pipe", "inherit"],
      })
      return text(child.stdout)
    },
    assertNotObeyed: async () => {
      if (existsSync(canary)) throw new Error("a command of a stranger's was run")
      for (const server of [source, target]) {
        const superusers = await server.psql(
          "SELECT string_agg(rolname, ', ') FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'",
        )
        if (superusers !== "") throw new Error(`a stranger has become superuser: ${superusers}`)
        if ((await server.psql(`SELECT count(*) FROM pg_roles WHERE rolname = '${intruder}'`)) !== "0")
          throw new Error("a stranger has made a role")
      }
    },
    expectExit: async (args, more, ...exitCodes) => {
      const ended = await bed.run(args, { env: { ...env, ...more }, withinMs: 60_000 })
      if (!exitCodes.includes(ended.exitCode ?? -1)) throw new Error(`${args.join(" ")}: ${toldBy(ended)}`)
      return ended
    },
  }
  const order = random.shuffle(attacks)
  return {
    trial: async ({ index, random }, tally) => {
      // One after the other, what does the most at once before all; every third is by the source.
      const attack =
        index === 0 ? allAtOnce : index % 3 === 2 ? undefined : order[index - 1 - Math.floor(index / 3)]
      const title = attack?.title ?? "a hostile source: names, settings, comments, data"
      try {
        await (attack ? attack.run(world, random) : attackBySource(world, index, random))
        await world.assertNotObeyed()
        const left = (await readdir(folder)).filter((name) => name.startsWith("pgstow-"))
        if (left.length > 0) throw new Error(`the temporary folder holds ${left.join(", ")}`)
        tally.held(title)
      } catch (error) {
        tally.broke(title, error instanceof Error ? error.message : String(error))
      }
    },
  }
}
