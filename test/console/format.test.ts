import { expect, test } from "vitest"
import {
  formatBytes,
  formatDuration,
  formatJson,
  formatKinds,
  formatName,
  formatSpeed,
  formatTable,
  formatText,
  formatTime,
  wrapText,
} from "../../task/console/format.ts"

test("kinds of objects are counted in words that people use", () => {
  expect(
    formatKinds({
      TABLE: 3,
      INDEX: 2,
      POLICY: 2,
      SCHEMA: 1,
      "FK CONSTRAINT": 9,
      "SEQUENCE OWNED BY": 1,
      ACL: 2,
    }),
  ).toEqual([
    "3 tables",
    "2 indexes",
    "2 policies",
    "1 schema",
    "9 foreign keys",
    "1 owned sequence",
    "2 grants",
  ])
})

test("bytes are written in binary units with three digits at most", () => {
  expect(
    [0, 999, 1000, 1023, 1024, 10_240, 102_400, 1_048_576, 1.4 * 2 ** 30, 2 ** 50].map(formatBytes),
  ).toEqual([
    "0 B",
    "999 B",
    "1.0 KiB",
    "1.0 KiB",
    "1.0 KiB",
    "10.0 KiB",
    "100 KiB",
    "1.0 MiB",
    "1.4 GiB",
    "1.0 PiB",
  ])
})

test("durations, rates and times read as people say them", () => {
  expect([0, 0.44, 9.94, 9.96, 59.4, 59.6, 185, 3600, 7800].map(formatDuration)).toEqual([
    "0.0 s",
    "0.4 s",
    "9.9 s",
    "10 s",
    "59 s",
    "1 min 0 s",
    "3 min 5 s",
    "1 h 0 min",
    "2 h 10 min",
  ])
  expect(formatSpeed(200 * 2 ** 20, 2)).toBe("2.0 s (100 MiB/s)")
  expect(formatTime(new Date("2026-01-02T03:04:05.678Z"))).toBe("2026-01-02 03:04:05 UTC")
})

test("no rate is told of what took too short a time to measure", () => {
  expect([0, 0.001, 0.02, 0.099].map((seconds) => formatSpeed(14 * 2 ** 20, seconds))).toEqual([
    "0.0 s",
    "0.0 s",
    "0.0 s",
    "0.1 s",
  ])
  expect(formatSpeed(14 * 2 ** 20, 0.1)).toBe("0.1 s (140 MiB/s)")
})

test("a name can't move the cursor, break the line or turn the text around", () => {
  expect(formatName('plain "name" Ü 📚')).toBe('plain "name" Ü 📚')
  expect(formatName("a\nb\tc\x1b[31md\x7fe\u009bf\u202eg\u2028h")).toBe(
    "a\\nb\\tc\\u001b[31md\\u007fe\\u009bf\\u202eg\\u2028h",
  )
})

test("a table keeps its columns in line, wide characters included", () => {
  const table = formatTable(
    [{ title: "NAME" }, { title: "SIZE", flush: "right" }, { title: "LAST" }],
    [
      ["a", "1 B", "x"],
      ["📚 Bücher 日本", "1.0 KiB", ""],
    ],
  )
  expect(table.split("\n")).toEqual([
    "NAME               SIZE  LAST",
    "a                   1 B  x",
    "📚 Bücher 日本  1.0 KiB",
  ])
})

test("a table that is too wide for the terminal is folded between cells, and a cell between words", () => {
  const columns = [{ title: "ID" }, { title: "STORED", flush: "right" }, { title: "BECAUSE" }] as const
  const rows = [
    ["20260102T030000Z-k3v9x2ab", "1.3 MiB", "the newest verified backup is never removed; daily 2026-01-02"],
    ["short", "9 B", ""],
  ]
  const folded = formatTable(columns, rows, 40)
  expect(folded.split("\n")).toEqual([
    "ID                          STORED",
    "  BECAUSE",
    "20260102T030000Z-k3v9x2ab  1.3 MiB",
    "  the newest verified backup is never",
    "    removed; daily 2026-01-02",
    "short                          9 B",
  ])
  expect(formatTable(columns, rows, 200)).toBe(formatTable(columns, rows))
})

test("text keeps its lines and nothing else that a terminal obeys; JSON says the same as before", () => {
  expect(formatText("a\nb\r\x1b[31m\u009b\u2028")).toBe("a\nb\\r\\u001b[31m\\u009b\\u2028")
  const value = { "\u009b\u202e": ["\x7f\u2029\u0007\n", "Ü 📚"] }
  const json = formatJson(value)
  expect(json).toBe('{"\\u009b\\u202e":["\\u007f\\u2029\\u0007\\n","Ü 📚"]}')
  expect(JSON.parse(json)).toEqual(value)
  expect(JSON.parse(formatJson(value, 2))).toEqual(value)
})

test("a cell of a table is one line, whatever is in it", () => {
  expect(formatTable([{ title: "A" }, { title: "B" }], [["x\ny", "\u009b1m"]])).toBe(
    "A     B\nx\\ny  \\u009b1m",
  )
})

test("a long line is broken between words, and not within what is to be copied", () => {
  expect(wrapText("  a hint that names a file of some length", 20, "    ")).toEqual([
    "  a hint that names",
    "    a file of some",
    "    length",
  ])
  expect(wrapText("see it by `pgstow list --long` or not", 26, "  ")).toEqual([
    "see it by",
    "  `pgstow list --long` or",
    "  not",
  ])
  expect(wrapText('drop it (DROP DATABASE "a b c";)', 26, "  ")).toEqual([
    "drop it (DROP DATABASE",
    '  "a b c";)',
  ])
  expect(wrapText('"what is longer than a line"', 20, "  ")).toEqual(['"what is longer than', '  a line"'])
})
