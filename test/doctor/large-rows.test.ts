import { expect, test } from "vitest"
import { sharedPostgres } from "../support/shared-postgres.ts"
import { makePatient } from "./patient.ts"

test("rows that are too large to be copied out", async () => {
  const patient = await makePatient(await sharedPostgres())
  const deep = { deep: true }
  await patient.sql(`GRANT pg_read_all_data TO ${patient.role}`)
  await patient.sql("CREATE TABLE t (id int, a text, b text, c bytea)")
  await patient.sql("INSERT INTO t (id) VALUES (1)")
  for (const column of ["a", "b"]) await patient.sql(`UPDATE t SET ${column} = repeat('x', 300000000)`)
  expect(await patient.examine(deep)).toEqual([])
  await patient.sql("UPDATE t SET c = repeat('x', 250000000)::bytea WHERE id = 1")
  const [finding, ...others] = await patient.examine(deep)
  expect(others).toEqual([])
  expect(finding).toMatchObject({ check: "content.large-rows", severity: "error", subject: "public.t" })
  await expect(patient.sql("COPY t TO '/dev/null'")).rejects.toThrow("exceeds maximum allowed length")
  expect(await patient.sql(finding?.fix ?? "")).toMatch(/^\(0,\d+\)$/)
  await patient.sql("DELETE FROM t WHERE id = 1")
  expect(await patient.examine(deep)).toEqual([])
})
