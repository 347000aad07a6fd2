import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { type AddressInfo, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { describe, expect, it, onTestFinished } from "vitest"
import { needsLinux } from "../support/not-run.ts"
import { processesOfSession } from "../support/processes.ts"
import { sharedPostgres } from "../support/shared-postgres.ts"
import { differencesBetween } from "./contents.ts"
import { measure } from "./measure.ts"
import { plot } from "./plot.ts"
import { formatResults } from "./report.ts"
import { median, type Results, replaceStages, summarize } from "./results.ts"
import { inRounds } from "./rounds.ts"
import type { Figures, Run, Stage } from "./run.ts"
import { startService } from "./service.ts"
import { simulate } from "./simulate.ts"
import { checkTargets } from "./targets.ts"
import { durationsIn, watchLocks } from "./trust.ts"

function run(stage: Stage, id: string, wallSeconds: number, more: Partial<Run> = {}): Run {
  return {
    stage,
    id,
    title: id,
    round: 1,
    wallSeconds,
    clientCpuSeconds: 8,
    serverCpuSeconds: 5,
    peakBytes: 200 * 1024 ** 2,
    storedBytes: 500e6,
    rawBytes: 2e9,
    ...more,
  }
}

describe("medians", () => {
  it.each([
    [[3], 3],
    [[9, 1, 2], 2],
    [[10, 1, 3, 2], 2.5],
  ])("of %j is %d", (values, expected) => {
    expect(median(values)).toBe(expected)
  })

  it("of nothing are refused", () => {
    expect(() => median([])).toThrow(RangeError)
  })

  it("are taken of each pipeline's own runs", () => {
    const runs = [9, 1, 2].flatMap((seconds) => [
      run("backup", "floor", seconds, { storedBytes: null }),
      run("restore", "floor", 10 * seconds, { storedBytes: seconds }),
    ])
    expect(summarize(runs)).toMatchObject([
      { stage: "backup", id: "floor", rounds: 3, wallSeconds: 2, storedBytes: null },
      { stage: "restore", id: "floor", rounds: 3, wallSeconds: 20, storedBytes: 2 },
    ])
  })
})

it("rounds have every pipeline once, and none always after the same", () => {
  expect(inRounds(["a", "b", "c"], 2)).toEqual([
    [1, "a"],
    [1, "b"],
    [1, "c"],
    [2, "b"],
    [2, "c"],
    [2, "a"],
  ])
})

describe("targets", () => {
  const runs = [
    run("backup", "floor", 10, { storedBytes: null }),
    run("backup", "sentinel", 45),
    run("backup", "pgstow-2", 10, { clientCpuSeconds: 13.2 }),
    run("limited", "pgstow-1", 100),
    run("limited", "pgstow-8", 14),
  ]
  const of = (title: string) => checkTargets(summarize(runs)).find((target) => target.title.includes(title))

  it("are met at the very bound", () => {
    expect(of("floor")).toMatchObject({ goal: "≤ 1 ×", measured: "1.00 ×", isMet: true })
    expect(of("faster than Sentinel's")).toMatchObject({ goal: "≥ 4.5 ×", measured: "4.50 ×", isMet: true })
    expect(of("8 jobs")).toMatchObject({ goal: "≥ 7 ×", measured: "7.14 ×", isMet: true })
  })

  it("are told of where they are missed", () => {
    expect(of("client CPU")).toMatchObject({ goal: "≤ 6.5 s", measured: "6.60 s", isMet: false })
  })

  it("are left out where nothing was measured", () => {
    expect(of("Emiti")).toBeUndefined()
    expect(of("restore")).toBeUndefined()
    expect(of("ten times")).toBeUndefined()
  })
})

describe("what says that backups work", () => {
  const trust = (id: string, wallSeconds: number, figures: Figures, more: Partial<Run> = {}) =>
    run("trust", id, wallSeconds, { figures, ...more })
  const summaries = summarize([
    trust("doctor", 9, { longestStatementSeconds: 0.4, locksBeyondAccessShare: 0 }),
    trust("doctor", 11, { longestStatementSeconds: 0.2, locksBeyondAccessShare: 0 }),
    trust("doctor", 10, { longestStatementSeconds: 1.2, locksBeyondAccessShare: 3 }),
    trust("drill", 14.5, { restoreSeconds: 10, startSeconds: 2 }),
    trust("report", 6, { pageBytes: 1.9e6, readySeconds: 0.5 }, { peakBytes: 201 * 1024 ** 2 }),
    trust("report", 4, { pageBytes: 1.9e6 }, { peakBytes: 201 * 1024 ** 2 }),
  ])
  const of = (title: string) => checkTargets(summaries).find((target) => target.title.includes(title))

  it("has medians of all figures that each run has", () => {
    expect(summaries.map(({ figures }) => figures)).toEqual([
      { longestStatementSeconds: 0.4, locksBeyondAccessShare: 0 },
      { restoreSeconds: 10, startSeconds: 2 },
      { pageBytes: 1.9e6 },
    ])
  })

  it("has targets of its own", () => {
    expect(of("doctor: wall time")).toMatchObject({ measured: "10.00 s", isMet: true })
    expect(of("longest statement")).toMatchObject({ measured: "0.40 s", isMet: true })
    expect(of("locks beyond")).toMatchObject({ goal: "≤ 0", measured: "0", isMet: true })
    expect(of("drill")).toMatchObject({ goal: "≤ 1.25 ×", measured: "1.25 ×", isMet: true })
    expect(of("report: peak memory")).toMatchObject({ measured: "201 MiB", isMet: false })
    expect(of("report: wall time")).toMatchObject({ measured: "5.00 s", isMet: true })
    expect(of("interactive")).toBeUndefined()
  })

  it("has a line each, with what it was about", () => {
    const table = formatResults(resultsOf([], { summaries }))
    expect(table).toMatch(/^drill +14\.5 .* restore in it 10\.0 s, start of the server 2\.0 s$/m)
  })

  it("reads the log of the server for the time of each statement", () => {
    expect(
      durationsIn("LOG:  duration: 12.5 ms  statement: SELECT 1\nLOG:  duration: 0.070 ms  parse <x>"),
    ).toEqual([12.5, 0.07])
  })

  it("sees a lock that a session holds, and that one writes, and minds no ACCESS SHARE", async () => {
    const server = await sharedPostgres()
    const database = await server.createDatabase()
    await server.psql("CREATE TABLE t (i int)", database)
    const locksOf = async (sql: string) => {
      const { stop, found } = await watchLocks(server, database)
      await server.psql(sql, database)
      await stop()
      return (await found).map((lock) => lock.replace(/ \d+$/, "")).sort()
    }
    expect(await locksOf("BEGIN; SELECT * FROM t; SELECT pg_sleep(0.3)")).toEqual([])
    const written = await locksOf("BEGIN; INSERT INTO t VALUES (1); SELECT pg_sleep(0.3)")
    expect(written).toEqual(
      expect.arrayContaining(["relation RowExclusiveLock", "transactionid ExclusiveLock"]),
    )
  })
})

describe("the simulation", () => {
  const simulated = (jobs: number) =>
    simulate({ bytes: 1e12, storedShare: 0.25, connectionBytesPerSecond: 100e6, jobs })

  it("stores all of it, within what S3 takes", () => {
    const { parts, largestPartBytes, requests, objects } = simulated(4)
    expect(parts * largestPartBytes).toBeGreaterThanOrEqual(0.25e12)
    expect(requests).toBeGreaterThan(parts)
    expect(requests).toBeLessThanOrEqual(parts + 2 * objects)
  })

  it("takes no less time than the streams need together", () => {
    for (const jobs of [2, 4, 8]) {
      const evenHours = 1e12 / jobs / 100e6 / 3600
      expect(simulated(jobs).hours).toBeGreaterThanOrEqual(evenHours)
      expect(simulated(jobs).hours).toBeLessThan(1.1 * evenHours)
    }
  })
})

const summaries = summarize([
  run("backup", "floor", 10, { title: "pg_dump > /dev/null", storedBytes: null }),
  run("backup", "pgstow-2", 9),
  run("limited", "pgstow-1", 100),
  run("limited", "pgstow-4", 26),
])

it("the picture has a bar for each pipeline, the longest for the largest value", () => {
  const svg = plot(summaries)
  const bars = [...svg.matchAll(/<rect x="274" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width))
  expect(bars).toHaveLength(4)
  expect(bars[0]).toBeGreaterThan(bars[1] ?? Number.NaN)
  expect(bars[3]).toBeGreaterThan(bars[2] ?? Number.NaN)
  expect(svg).toContain("pg_dump &gt; /dev/null")
  expect(svg).toContain("77 MB/s · 3.85 ×")
})

function resultsOf(runs: readonly Run[], more: Partial<Results> = {}): Results {
  return {
    format: 1,
    startedAt: {},
    machine: {
      cores: 2,
      cpu: "a CPU",
      memoryBytes: 8 * 1024 ** 3,
      system: "Linux",
      node: "24",
      postgres: "18",
      programs: {},
    },
    settings: { isQuick: true, bytes: 2e9, rounds: 1, limitedBytesPerSecond: 1e6, server: {} },
    targets: [],
    summaries: [],
    simulations: [],
    runs,
    ...more,
  }
}

describe("a stage that is measured again", () => {
  const [earlyBackup, earlyRestore] = [run("backup", "floor", 10), run("restore", "sentinel", 99)]
  const [stream, pgstow] = [run("restore", "sentinel", 15), run("restore", "pgstow-2", 10)]
  const earlier = resultsOf([earlyBackup, earlyRestore], {
    startedAt: { backup: "Monday", restore: "Monday" },
  })

  it("takes the place of what was measured before, and all else stays", () => {
    const later = resultsOf([stream, pgstow], { startedAt: { restore: "Tuesday" } })
    const { startedAt, runs, summaries, targets } = replaceStages(earlier, later)
    expect(startedAt).toEqual({ backup: "Monday", restore: "Tuesday" })
    expect(runs).toEqual([earlyBackup, stream, pgstow])
    expect(summaries).toEqual(summarize(runs))
    expect(targets).toMatchObject([{ measured: "1.50 ×", isMet: true }])
  })

  it("is refused where anything else was different", () => {
    const { machine } = earlier
    const later = resultsOf([stream], { machine: { ...machine, postgres: "15" } })
    expect(() => replaceStages(earlier, later)).toThrow("another machine")
  })
})

it("the table has the ratios to the floor, and says what --quick proves", () => {
  const table = formatResults(resultsOf([], { summaries, targets: checkTargets(summaries) }))
  expect(table).toMatch(/^pgstow-2 +9\.0 +0\.90 +222 +8\.0 +4\.0 +5\.0 +200 +500$/m)
  expect(table).toContain("It proves that the bench runs, and nothing else.")
})

it("a restore that lacks rows or an index differs", () => {
  const expected = new Map([
    ["rows of a", "3"],
    ["indexes of a", "1"],
  ])
  expect(differencesBetween(expected, new Map(expected))).toEqual([])
  expect(differencesBetween(expected, new Map([["rows of a", "2"]]))).toEqual([
    "rows of a: 3 expected, 2 found",
    "indexes of a: 1 expected, none found",
  ])
})

describe.skipIf(needsLinux)(`a measured script${needsLinux}`, () => {
  async function measured(script: string, signal = new AbortController().signal) {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const { socketDir } = await sharedPostgres()
    const env = { PATH: process.env.PATH ?? "" }
    return measure({ script, env, folder }, { serverFolder: socketDir, signal })
  }

  it("has the time and the memory of all that it runs", async () => {
    const busy = `"${process.execPath}" -e 'const a = Buffer.alloc(1e8, 1); for (const end = Date.now() + 300; Date.now() < end;); setTimeout(() => a, 1500)'`
    const { wallSeconds, clientCpuSeconds, peakBytes } = await measured(`echo | (${busy}) | cat`)
    expect(wallSeconds).toBeGreaterThan(0.5)
    // Not all of the time, where others work too.
    expect(clientCpuSeconds).toBeGreaterThan(0.05)
    expect(clientCpuSeconds).toBeLessThan(2 * wallSeconds)
    expect(peakBytes).toBeGreaterThan(1e8)
  })

  it("fails where anything in a pipe fails", async () => {
    await expect(measured("(echo rows; echo it broke >&2; exit 3) | cat > rows")).rejects.toThrow(
      "exited with 3: it broke",
    )
  })

  it("leaves nothing running that is interrupted", async () => {
    const folder = await mkdtemp(join(tmpdir(), "pgstow-measure-"))
    onTestFinished(() => rm(folder, { recursive: true }))
    const interruption = new AbortController()
    const interrupted = measured(`echo $$ > ${folder}/session; sleep 100 | sleep 101`, interruption.signal)
    const ended = expect(interrupted).rejects.toThrow("interrupted")
    const sessionSoFar = () => readFile(join(folder, "session"), "utf8").catch(() => "")
    await expect.poll(sessionSoFar).toMatch(/^\d+\n$/)
    const session = Number(await sessionSoFar())
    await expect
      .poll(() => processesOfSession(session).filter(({ name }) => name === "sleep"))
      .toHaveLength(2)
    interruption.abort(new Error("interrupted"))
    await ended
    expect(session).toBeGreaterThan(1)
    expect(processesOfSession(session)).toEqual([])
  })
})

it("the proxy passes on what comes, and no faster than it may", async () => {
  const bytes = Buffer.alloc(400_000, "abc")
  const server = createServer((socket) => socket.end(bytes)).listen(0, "127.0.0.1")
  onTestFinished(() => void server.close())
  await once(server, "listening")
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  const proxy = await startService("limited-proxy.ts", [`${port}`, "1000000"])
  const began = performance.now()
  const read = () => buffer(connect(Number(proxy.answer), "127.0.0.1"))
  const [first, second] = await Promise.all([read(), read()])
  const seconds = (performance.now() - began) / 1000
  await proxy.stop()
  expect(first.equals(bytes) && second.equals(bytes)).toBe(true)
  // Each connection has a rate of its own.
  expect(seconds).toBeGreaterThan(0.25)
})
