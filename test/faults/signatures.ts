import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { cp, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as z from "zod"
import { type Bed, toldBy } from "./bed.ts"
import { type Campaign, setStage, type Tally, type Trial, type Trials } from "./campaign.ts"
import { damages } from "./damages.ts"
import { manifestEdits } from "./manifest-edits.ts"
import { makeSource } from "./small-database.ts"
import { readStoredBackups, type StoredBackup } from "./stored-backups.ts"

/** How many copies one run lists. */
const copiesAtOnce = 14
/** Whole ones among them, which nobody may refuse. */
const wholeOnes = 2
/** How many of the copies in a trial are also asked for by a command that reads a backup. */
const askedFor = 2

/**
 * Changes the manifests of signed backups in every way there is, signs them by other keys, and moves signatures about.
 * Who has the signer's public half takes none of them, and all that are whole.
 */
export const signatures: Campaign = {
  name: "signatures",
  trials: 16,
  prepare: (bed) => setStage(() => prepare(bed)),
}

type World = {
  readonly bed: Bed
  readonly backup: StoredBackup
  readonly earlier: StoredBackup
  readonly env: Readonly<Record<string, string>>
  readonly attacks: Readonly<Record<string, Attack>>
  newStorage(): Promise<{ readonly url: string; readonly copy: string }>
}

/** Changes a copy in its folder. */
type Attack = (copy: string, trial: Trial) => Promise<void>

const made = z.object({ signer: z.string(), signingKeyFile: z.string() })

async function prepare(bed: Bed): Promise<Trials> {
  const { folder, env: unsigned } = await makeSource(bed, "signatures")
  const source = join(folder, "source")
  const keyFile = join(folder, "signing.key")
  const { signer } = made.parse(await bed.json(["keygen", "--signing", "--out", keyFile], { env: {} }))
  const [, key = ""] = /^PGSTOW-SIGNING-KEY-(\S+)$/m.exec(await readFile(keyFile, "utf8")) ?? []
  bed.guard(key)
  const env = { ...unsigned, PGSTOW_SIGNED_BY: signer }
  for (let count = 0; count < 2; count++)
    await bed.json(["backup", "--signing-key", keyFile], {
      env: { ...env, PGSTOW_STORAGE: `file://${source}` },
    })
  const { backups } = await readStoredBackups(source)
  const [backup, earlier] = backups.toSorted((a, b) => (a.id < b.id ? 1 : -1))
  if (!backup || !earlier) throw new Error("there are not two backups")
  let storages = 0
  const world: World = {
    bed,
    backup,
    earlier,
    env,
    attacks: attacksOn(earlier, signer),
    newStorage: async () => {
      storages += 1
      const storage = join(folder, `storage-${storages}`)
      const copy = join(storage, backup.database, backup.id)
      await cp(backup.folder, copy, { recursive: true })
      return { url: `file://${storage}`, copy }
    },
  }
  return { trial: (trial, tally) => attack(world, trial, tally) }
}

const manifestOf = (folder: string) => join(folder, "manifest.json")

/** A signed manifest's text, taken apart as the format document says. */
function takeApart(text: string): { readonly line: string; readonly rest: string } {
  const [, line = "", rest = ""] = /^\{\n([^\n]*\n)(.*)$/s.exec(text) ?? []
  if (!line.startsWith('  "signature": ')) throw new Error("the manifest is not signed")
  return { line, rest: `{\n${rest}` }
}

const putTogether = (line: string, rest: string) => rest.replace("{\n", () => `{\n${line}`)

/** The line that a signature of `rest` makes, under the name that is given. */
function signatureLine(rest: string, privateKey: KeyObject, signer: string): string {
  return `  "signature": "${signer} ${sign(null, Buffer.from(rest), privateKey).toString("base64")}",\n`
}

/** What somebody who may write to the storage could do to a signed backup. */
function attacksOn(earlier: StoredBackup, signer: string): Record<string, Attack> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const other = `pgstow-signer-${publicKey.export({ format: "jwk" }).x}`
  const rewrite =
    (change: (parts: { line: string; rest: string }) => string | Promise<string>): Attack =>
    async (copy) => {
      const path = manifestOf(copy)
      await writeFile(path, await change(takeApart(await readFile(path, "utf8"))))
    }
  const fromEarlier = async () => takeApart(await readFile(manifestOf(earlier.folder), "utf8"))
  const edits = Object.entries(manifestEdits).map(([how, edit]): [string, Attack] => [
    `the manifest says: ${how}`,
    async (copy, { random }) => {
      const path = manifestOf(copy)
      const { line } = takeApart(await readFile(path, "utf8"))
      await edit({ copy, path, earlier: earlier.folder, random })
      // Where it belongs, so that it is the signature alone that does not fit.
      const changed = (await readFile(path, "utf8")).replace(/^ {2}"signature": .*\n/m, "")
      await writeFile(path, putTogether(line, changed))
    },
  ])
  return {
    ...Object.fromEntries(edits),
    "it is not signed": rewrite(({ rest }) => rest),
    "another key has signed it": rewrite(({ rest }) =>
      putTogether(signatureLine(rest, privateKey, other), rest),
    ),
    "another key has signed it, under the name of the right one": rewrite(({ rest }) =>
      putTogether(signatureLine(rest, privateKey, signer), rest),
    ),
    "the signature of an earlier backup": rewrite(async ({ rest }) =>
      putTogether((await fromEarlier()).line, rest),
    ),
    "all of an earlier backup's manifest": rewrite(async () => {
      const { line, rest } = await fromEarlier()
      return putTogether(line, rest)
    }),
    "a second signature": rewrite(({ line, rest }) =>
      putTogether(signatureLine(rest, privateKey, other) + line, rest),
    ),
    "something else said in the signature's line": rewrite(({ line, rest }) =>
      putTogether(line.replace(/,\n$/, ', "database": "another",\n'), rest),
    ),
    "the signature further below": rewrite(({ line, rest }) => rest.replace('  "id"', () => `${line}  "id"`)),
    "the manifest in one line": rewrite(({ line, rest }) =>
      JSON.stringify(JSON.parse(putTogether(line, rest))),
    ),
    "flipped bits in the manifest": async (copy, { random }) => {
      const path = manifestOf(copy)
      const bytes = await readFile(path)
      for (let count = 0; count < 1 + random.below(3); count++) {
        const at = random.below(bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
      }
      await writeFile(path, bytes)
    },
    "a damaged manifest": async (copy, { random }) => {
      const path = manifestOf(copy)
      const before = await readFile(path)
      const how = random.pick(Object.keys(damages))
      await writeFile(path, damages[how]?.(before, random) ?? before)
    },
  }
}

const listed = z.object({
  backups: z.array(z.looseObject({ storage: z.string(), problem: z.string().nullable() })),
})

/** Attacks many copies at once, and lists them all. */
async function attack(world: World, trial: Trial, tally: Tally): Promise<void> {
  const { bed, backup, env, attacks } = world
  const { random, index } = trial
  const names = Object.keys(attacks)
  const before = await readFile(manifestOf(backup.folder))
  const copies: { url: string; copy: string; fault: string | undefined }[] = []
  for (let count = 0; count < copiesAtOnce; count++) {
    const storage = await world.newStorage()
    const how = names[(index * (copiesAtOnce - wholeOnes) + count) % names.length] ?? ""
    if (count < copiesAtOnce - wholeOnes) await attacks[how]?.(storage.copy, trial)
    const after = await readFile(manifestOf(storage.copy))
    copies.push({ ...storage, fault: after.equals(before) ? undefined : how })
  }
  const urls = random.shuffle(copies.map(({ url }) => url)).join(" ")
  const { backups } = listed.parse(await bed.json(["list"], { env: { ...env, PGSTOW_STORAGE: urls } }))
  for (const { url, fault } of copies) {
    const entry = backups.find(({ storage }) => storage === url)
    if (!entry) tally.broke(fault ?? "nothing", "the backup is not listed")
    else if (fault === undefined) {
      if (entry.problem !== null) tally.broke("nothing", `a whole backup is refused: ${entry.problem}`)
    } else if (entry.problem === null) tally.broke(fault, "the backup is taken for signed")
    else tally.held(fault)
  }
  const changed = copies.filter(({ fault }) => fault !== undefined)
  for (const { url, fault = "" } of random.shuffle(changed).slice(0, askedFor)) {
    const [command = "", ...args] = random.pick([
      ["restore", "--into", "signatures_restored"],
      ["verify", "--deep"],
      ["cat"],
      ["globals"],
    ])
    const ended = await bed.run([command, backup.id, ...args], { env: { ...env, PGSTOW_STORAGE: url } })
    const refused = ended.exitCode === 13 || ended.exitCode === 6
    if (refused && ended.stdout === "") tally.held(`${fault}: ${command}`)
    else tally.broke(`${fault}: ${command}`, `it is not refused: ${toldBy(ended)}`)
  }
  const restored = await (await bed.server()).psql(
    "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%signatures_restored'",
  )
  if (restored !== "") tally.broke("restore", `there is a database: ${restored}`)
  for (const { url } of copies) await rm(url.slice("file://".length), { recursive: true })
}
