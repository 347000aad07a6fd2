import { describe, expect, test } from "vitest"
import { extensionsThere } from "../../task/restore/extensions-there.ts"
import { logOf } from "../support/failure-line.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

test("what the server lacks, and has in another version, is named with both versions", () => {
  const original = [
    { name: "postgis", version: "3.4.2" },
    { name: "hstore", version: "1.10" },
    { name: "citext", version: "1.6" },
    { name: "cube", version: "1.5" },
    { name: "ltree", version: "1.2" },
  ]
  const available = new Map([
    ["hstore", "1.9"],
    ["citext", "1.6"],
    ["cube", "1.10"],
  ])
  expect(extensionsThere(["postgis", "hstore", "citext", "cube"], original, available)).toEqual({
    missing: "the target's server does not have the extension postgis (3.4.2 in the backup)",
    older: ["the extension hstore is 1.10 in the backup, and 1.9 on this server"],
    newer: ["the extension cube is 1.5 in the backup, and 1.10 on this server"],
  })
})

describe.for(majors)("with PostgreSQL %i", (major) => {
  test("a restore says before anything is made that an extension gets another version", async () => {
    const scene = await setScene(major)
    const { server, database } = scene
    await server.psql("CREATE EXTENSION hstore VERSION '1.4'", database)
    const newest = await server.psql(
      "SELECT default_version FROM pg_available_extensions WHERE name = 'hstore'",
    )
    await scene.json(["backup"])
    const { stderr } = await scene.run(["restore", "latest", "--into", `${database} copy`])
    const said = logOf(stderr).map(({ message }) => message)
    const sentence = `the extension hstore is 1.4 in the backup, and ${newest} on this server`
    expect(said.indexOf(sentence)).toBeGreaterThanOrEqual(0)
    expect(logOf(stderr).some(({ level }) => level === "warn")).toBe(false)
  })
})
