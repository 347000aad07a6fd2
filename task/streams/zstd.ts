import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { delimiter, isAbsolute, join } from "node:path"
import { buffer } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { type Child, type ChildOptions, startChild } from "../processes/child.ts"
import { ChildError } from "../processes/child-error.ts"

/**
 * The `zstd` program on the PATH of `env`; undefined where there is none, or one that does not say how many
 * bytes went through it in the words that are read here.
 */
export async function findZstd(
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  for (const folder of (env.PATH ?? "").split(delimiter).filter(isAbsolute)) {
    const file = join(folder, "zstd")
    if (await isExecutable(file)) return (await saysItsBytes(file)) ? file : undefined
  }
  return undefined
}

/** Starts a `zstd` that reads from the pipe that is its stdin. */
export function startZstd(
  file: string,
  args: readonly string[],
  options: Omit<ChildOptions, "stdin">,
): Child {
  return startChild({ file, args: ["-c", ...args], env: {} }, { ...options, stdin: "pipe", explain })
}

/** The same failure without the words on how far it had come. */
function explain(failure: ChildError): ChildError {
  const { program, exitStatus: status, signal, stderr } = failure
  const words = [...stderr.matchAll(/^zstd: (?:error \d+ ?: ?)?(.+)$/gm)].map(([, word]) => word)
  const message = [`${program} ${failure.ending}`, ...words.slice(-3)].join(": ")
  return new ChildError(program, message, { status, signal, stderr })
}

/** One thread, and words on stderr. With less than two -v the numbers in them are rounded to three digits. */
export function compressorArgs(level: number): string[] {
  return [`-${level}`, "-T1", "-vv", "--progress"]
}

/** With one -v it says how far it is a few times a second, and not with every block. */
export const decompressorArgs: readonly string[] = ["-d", "-v", "--progress"]

/** The bytes compressed so far, where this line of a compressor's stderr says them. */
export function progressIn(line: string): number | undefined {
  return numbersIn(line, /Consumed:\s*(\d+) B /)?.[0]
}

/** The bytes that a compressor says it has read and written in all. */
export function compressorTotalsIn(
  stderr: string,
): { rawBytes: number; compressedBytes: number } | undefined {
  const [rawBytes, compressedBytes] = numbersIn(stderr, /\(\s*(\d+) B =>\s*(\d+) B,/) ?? []
  return rawBytes === undefined || compressedBytes === undefined ? undefined : { rawBytes, compressedBytes }
}

/** The bytes decompressed so far, to three digits, where this line of a decompressor's stderr says them. */
export function decompressedIn(line: string): number | undefined {
  const [, number, unit = ""] = /: ([\d.]+) ([KMGTPE]?)i?B\.\.\./.exec(line) ?? []
  return number === undefined ? undefined : Number(number) * 1024 ** " KMGTPE".indexOf(unit || " ")
}

/** The bytes that a decompressor says it has written in all. */
export function decompressorTotalIn(stderr: string): number | undefined {
  return numbersIn(stderr, /: (\d+) bytes\s*$/)?.[0]
}

function numbersIn(text: string, pattern: RegExp): number[] | undefined {
  return pattern.exec(text)?.slice(1).map(Number)
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function saysItsBytes(file: string): Promise<boolean> {
  const sample = Buffer.from("pgstow")
  try {
    const compressed = await outputOf(startZstd(file, compressorArgs(1), { stdout: "pipe" }), sample)
    const totals = compressorTotalsIn(compressed.stderr)
    if (totals?.rawBytes !== sample.length || totals.compressedBytes !== compressed.bytes.length) return false
    const raw = await outputOf(startZstd(file, decompressorArgs, { stdout: "pipe" }), compressed.bytes)
    return raw.bytes.equals(sample) && decompressorTotalIn(raw.stderr) === sample.length
  } catch {
    return false
  }
}

async function outputOf(child: Child, input: Buffer): Promise<{ bytes: Buffer; stderr: string }> {
  const [bytes] = await Promise.all([buffer(child.stdout), pipeline([input], child.stdin), child.ended])
  return { bytes, stderr: child.stderr() }
}
