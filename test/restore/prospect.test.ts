import { expect, test } from "vitest"
import { formatProspect } from "../../task/commands/restore.ts"
import type { Prospect } from "../../task/restore/prospect.ts"

const prospect: Prospect = {
  id: "20260102T030000Z-k3v9x2ab",
  database: "orders",
  storage: "s3://my-bucket/pgstow?region=eu-central-1",
  into: "orders_restored_202601020300",
  exists: false,
  serverVersion: "15.4",
  targetMajor: 17,
  objects: { TABLE: 27, INDEX: 12, "FK CONSTRAINT": 9, "MATERIALIZED VIEW": 2, "EVENT TRIGGER": 1 },
  tables: 27,
  rows: 1_000_000,
  rawBytes: 5e9,
  downloadBytes: 1e9,
  expected: { seconds: 95, from: "how long the backup took; indexes and constraints come on top" },
  rolesToMake: ["app", "orders_owner"],
  foreseen: [
    {
      kind: "postgres",
      what: "what belongs to orders_owner, reporting",
      why: "the user adm may not act as the owners orders_owner, reporting",
      waysOut: [
        'GRANT "orders_owner", "a role with spaces" TO "adm" WITH INHERIT TRUE, SET TRUE;',
        "--no-owner",
      ],
    },
  ],
  notes: ["the target lacks the tablespace fast, so all lies in the database's own"],
  refusal: null,
}

test.each([80, 60, 50])("a dry run on %i columns is broken between words alone", (columns) => {
  const whole = formatProspect(prospect)
  const lines = formatProspect(prospect, columns).split("\n")
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns)
  expect(lines.length).toBeGreaterThan(whole.split("\n").length)
  const wordsOf = (text: string) => text.split(/\s+/)
  expect(wordsOf(lines.join("\n"))).toEqual(wordsOf(whole))
  expect(lines.join("\n")).toContain('"a role with spaces"')
})
