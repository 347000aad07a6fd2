/** The memory that Fargate gives beside each number of CPU units (1024 are one vCPU), in MiB: from, to, step. */
const memoryByCpu: Readonly<Record<number, readonly [number, number, number]>> = {
  512: [1024, 4096, 1024],
  1024: [2048, 8192, 1024],
  2048: [4096, 16_384, 1024],
  4096: [8192, 30_720, 1024],
  8192: [16_384, 61_440, 4096],
  16384: [32_768, 122_880, 8192],
}

/**
 * What a task is given. A backup needs some 100 MiB, and up to 150 more for each stream, of which it has one a core
 * and no more than the memory bears: any pair here will do, whatever the database's size. More CPU makes it faster.
 */
export type TaskSize = { readonly cpu: number; readonly memoryMiB: number }

/**
 * What is wrong with a size, in words that say what to write; undefined where Fargate has it. Fargate's smallest,
 * 256 units, is left out: half a gigabyte is too near to what a backup needs.
 */
export function problemOfSize({ cpu, memoryMiB }: TaskSize): string | undefined {
  const range = memoryByCpu[cpu]
  if (!range) return `cpu ${cpu} is none of Fargate's: write one of ${Object.keys(memoryByCpu).join(", ")}`
  const [lowest, highest, step] = range
  const exists = memoryMiB >= lowest && memoryMiB <= highest && (memoryMiB - lowest) % step === 0
  if (exists) return undefined
  return `Fargate has no ${memoryMiB} MiB for cpu ${cpu}: write ${lowest} to ${highest} in steps of ${step}`
}
