import { expect, onTestFinished, test } from "vitest"
import { setBucket } from "../support/bucket.ts"
import { peakMemory } from "../support/peak-memory.ts"
import type { Finished } from "../support/pgstow.ts"
import { startPostgres } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"

const limitBytes = 400 * 1024 * 1024

test("5 GB of rows are backed up, read to their end and restored in less than 400 MiB of memory", async () => {
  const server = await startPostgres({ settings: { max_wal_size: "16GB", shared_buffers: "256MB" } })
  onTestFinished(() => server.stop())
  const scene = await setScene(server)
  const bucket = await setBucket()
  const started = performance.now()
  await server.psql(rows, scene.database)
  report("made the rows", started)

  const env = { ...bucket.env, PGSTOW_STORAGE: `${scene.storage} ${bucket.storage}` }
  for (const command of [["backup"], ["verify", "--deep"], ["restore", "--into", "restored"]]) {
    const from = performance.now()
    const { finished, peakBytes } = await peakMemory(scene.start([...command, "--json"], env))
    expect(finished.exitCode, finished.stderr).toBe(0)
    report(`${command.join(" ")}: ${Math.round(peakBytes / 1024 ** 2)} MiB at most`, from)
    expect(peakBytes).toBeGreaterThan(50 * 1024 * 1024)
    expect(peakBytes).toBeLessThan(limitBytes)
    if (command[0] === "backup") expect(rawBytesOf(finished)).toBeGreaterThan(5e9)
  }
})

/** Some 40 MB of rows, of which a third does not compress, then 128 times as many: no window of zstd's is as large. */
const rows = `
  CREATE UNLOGGED TABLE orders (id bigint, placed_at timestamptz, noise text, note text);
  INSERT INTO orders
    SELECT i, timestamptz '2026-01-01' + i * interval '1 second',
           md5(i::text) || md5((i + 1e9)::text) || md5((i + 2e9)::text) || md5((i + 3e9)::text),
           format('{"customer": %s, "state": "paid", "lines": [{"article": %s, "amount": %s}], "note": "%s"}',
                  i % 1000, i % 77, i % 5, repeat('to be delivered in the morning, ', 5))
      FROM generate_series(1, 100000) AS i;
  ${"INSERT INTO orders SELECT * FROM orders;\n".repeat(7)}`

function rawBytesOf({ stdout }: Finished): unknown {
  return Object(JSON.parse(stdout)).rawBytes
}

/** What was measured belongs into the report of the tests. */
function report(what: string, from: number): void {
  process.stdout.write(`${what}, ${Math.round((performance.now() - from) / 1000)} s\n`)
}
