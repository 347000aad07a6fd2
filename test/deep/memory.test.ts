import { expect, onTestFinished, test } from "vitest"
import { setBucket } from "../support/bucket.ts"
import { peakMemory } from "../support/peak-memory.ts"
import type { Finished } from "../support/pgstow.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"

const mebibyte = 1024 * 1024
const limitBytes = 400 * mebibyte
const twoStreamsLimitBytes = 320 * mebibyte

test("5 GB of rows take no more memory than 0.5 GB, however they are backed up, read and restored", async () => {
  const server = await startPostgres({
    onDisk: true,
    settings: { max_wal_size: "16GB", shared_buffers: "256MB" },
  })
  onTestFinished(() => server.stop())
  const scene = await setScene(server)
  const bucket = await setBucket()
  const small = await server.createDatabase()
  const started = performance.now()
  await server.psql(rows(80_000, 4), small)
  await server.psql(rows(100_000, 7), scene.database)
  report("made the rows", started)

  const env = { ...bucket.env, PGSTOW_STORAGE: `${scene.storage} ${bucket.storage}` }
  const peakOf = async (args: readonly string[]) => {
    const from = performance.now()
    const { finished, peakBytes } = await peakMemory(scene.start([...args, "--json"], env))
    expect(finished.exitCode, finished.stderr).toBe(0)
    report(`${args.join(" ")}: ${Math.round(peakBytes / mebibyte)} MiB at most`, from)
    expect(peakBytes).toBeGreaterThan(50 * mebibyte)
    expect(peakBytes).toBeLessThan(limitBytes)
    return { finished, peakBytes }
  }

  const tenth = async (jobs: string) => {
    const { finished, peakBytes } = await peakOf(["backup", "--jobs", jobs, "--dbname", small])
    expect(rawBytesOf(finished)).toBeLessThan(0.55e9)
    return peakBytes
  }
  for (const jobs of ["1", "2"]) {
    // It lasts three seconds, in which neither the parts nor what V8 leaves lying reach their bounds each time.
    const tenths = [await tenth(jobs), await tenth(jobs), await tenth(jobs)]
    const whole = await peakOf(["backup", "--jobs", jobs])
    expect(rawBytesOf(whole.finished)).toBeGreaterThan(5e9)
    expect(whole.peakBytes - Math.max(...tenths)).toBeLessThan(64 * mebibyte)
    if (jobs === "2") expect(whole.peakBytes).toBeLessThan(twoStreamsLimitBytes)
  }
  await peakOf(["verify", "--deep", "--database", scene.database])
  await peakOf(["restore", "--database", scene.database, "--into", "restored"])
})

/**
 * So many rows of some 400 bytes, of which a third does not compress, then twice as many, again and again. The table
 * is made and filled in one transaction, which writes no WAL.
 */
const rows = (count: number, doublings: number) => `
  BEGIN;
  CREATE TABLE orders (id bigint, placed_at timestamptz, noise text, note text);
  INSERT INTO orders
    SELECT i, timestamptz '2026-01-01' + i * interval '1 second',
           md5(i::text) || md5((i + 1e9)::text) || md5((i + 2e9)::text) || md5((i + 3e9)::text),
           format('{"customer": %s, "state": "paid", "lines": [{"article": %s, "amount": %s}], "note": "%s"}',
                  i % 1000, i % 77, i % 5, repeat('to be delivered in the morning, ', 5))
      FROM generate_series(1, ${count}) AS i;
  ${"INSERT INTO orders SELECT * FROM orders;\n".repeat(doublings)}
  COMMIT;`

function rawBytesOf({ stdout }: Finished): unknown {
  return Object(JSON.parse(stdout)).rawBytes
}

/** What was measured belongs into the report of the tests. */
function report(what: string, from: number): void {
  process.stdout.write(`${what}, ${Math.round((performance.now() - from) / 1000)} s\n`)
}
