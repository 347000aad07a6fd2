import { open, readFile, rm, stat } from "node:fs/promises"
import * as z from "zod"
import { codeOf, PgstowError } from "../errors.ts"
import type { ReadSecret } from "./aws-secret.ts"

/** How one kind of secret key is given. */
export type KeyWords = {
  /** In messages: "identity". */
  readonly name: string
  /** The field that holds it, where a secret is JSON. */
  readonly field: string
  /** Whether a setting holds the key itself. */
  readonly isKey: (setting: string) => boolean
  /** What to do where the file can't be read. */
  readonly fileHint: string
}

export type KeySource = { readonly readSecret: ReadSecret; readonly warn: (message: string) => void }

const secretPrefix = "secretsmanager:"

/**
 * The text that holds a key, and what to call the place where it was, which is never a key. The setting is a file,
 * `secretsmanager:` and a secret's ARN, or the key itself. Throws a PgstowError of kind "key".
 */
export async function readKeyText(
  setting: string,
  words: KeyWords,
  { readSecret, warn }: KeySource,
): Promise<{ readonly text: string; readonly where: string }> {
  const { name, field, isKey } = words
  if (isKey(setting)) return { text: fieldOf(setting, field), where: `the ${name} given` }
  if (setting.startsWith(secretPrefix)) {
    const id = setting.slice(secretPrefix.length)
    return { text: fieldOf(await readSecret(id), field), where: `the secret ${id}` }
  }
  return { text: await readKeyFile(setting, words, warn), where: `the ${name} file ${setting}` }
}

/** Whether a setting names a file. */
export function namesFile(setting: string, { isKey }: Pick<KeyWords, "isKey">): boolean {
  return !isKey(setting) && !setting.startsWith(secretPrefix)
}

/** The lines that hold keys: not empty, and no comments. */
export function keyLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
}

/**
 * Writes a secret key for its owner's eyes only, and never over a file that is there. Where it can't be written, as on a
 * full disk, no part of it stays: that would be in the way of the next attempt, and pass for a key.
 *
 * @param loss what happens where the key is lost, for who would replace one
 */
export async function writeKeyFile(file: string, text: string, loss: string): Promise<void> {
  try {
    const handle = await open(file, "wx", 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } catch (error) {
      await rm(file, { force: true }).catch(() => {})
      throw error
    } finally {
      await handle.close()
    }
  } catch (cause) {
    const exists = codeOf(cause) === "EEXIST"
    throw new PgstowError("usage", exists ? `${file} exists already` : `${file} can't be written`, {
      cause: exists ? undefined : cause,
      hint: exists
        ? `Give --out another file: ${loss}.`
        : "Give --out a file in a folder that exists and that you may write to.",
    })
  }
}

async function readKeyFile(
  file: string,
  { name, fileHint }: KeyWords,
  warn: (message: string) => void,
): Promise<string> {
  try {
    const text = await readFile(file, "utf8")
    const { mode } = await stat(file)
    if ((mode & 0o077) !== 0) warn(`the ${name} file ${file} can be read by others: chmod 600 ${file}`)
    return text
  } catch (cause) {
    throw new PgstowError("key", `the ${name} file ${file} can't be read`, { cause, hint: fileHint })
  }
}

/** The text itself, or the field of it where it is JSON; empty where it has none. */
function fieldOf(text: string, name: string): string {
  if (!text.trimStart().startsWith("{")) return text
  const field = z.record(z.string(), z.unknown()).safeParse(jsonOf(text)).data?.[name]
  return typeof field === "string" ? field : ""
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
