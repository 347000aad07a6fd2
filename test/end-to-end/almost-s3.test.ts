import { expect, onTestFinished, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import type { Rule } from "../support/s3/rules.ts"
import { startS3Endpoint } from "../support/s3-endpoint.ts"
import { setScene } from "../support/scene.ts"

test.each<[string, string, Rule[], string[]]>([
  [
    "a service that lacks all that one of them lacks",
    "",
    [
      "no-checksum-headers",
      "retention-needs-md5",
      "no-delete-objects",
      "no-list-uploads",
      "no-if-none-match",
      "equal-parts",
      "at-most-100-parts",
      "no-x-id",
    ],
    ["does not know If-None-Match", "add max-parts=100"],
  ],
  [
    "a service that is as strict as AWS",
    "&checksum=crc32",
    ["parts-declare-checksums", "complete-needs-checksums", "retention-needs-md5-or-checksum"],
    [],
  ],
])("%s keeps backups, gives them back, and lets them go", async (_, parameters, rules, said) => {
  const scene = await setScene()
  const { server, database } = scene
  await server.psql(
    `CREATE TABLE noise (id int, bytes bytea);
     INSERT INTO noise SELECT i, pg_read_binary_file('/dev/urandom', 0, 32000) FROM generate_series(1, 700) i;
     CREATE TABLE small AS SELECT generate_series(1, 1000) AS id`,
    database,
  )
  const endpoint = await startS3Endpoint({ buckets: ["backups"], path: "/storage/v1/s3", rules })
  onTestFinished(() => endpoint.close())
  const env = {
    PGSTOW_STORAGE: `s3://backups/root?endpoint=${endpoint.url}&credentials=TEST${parameters}`,
    TEST_ACCESS_KEY: endpoint.accessKeyId,
    TEST_SECRET_KEY: endpoint.secretAccessKey,
  }
  const { exitCode, stderr } = await scene.run(["backup", "--jobs", "2"], env)
  expect(exitCode).toBe(0)
  const warnings = stderr.split("\n").filter((line) => line.includes('"warn"'))
  for (const [index, words] of said.entries()) expect(warnings.join("\n"), `${index}`).toContain(words)
  expect(warnings).toHaveLength(said.length)

  await scene.json(["backup", "--jobs", "2"], env)
  await scene.json(["verify", "latest", "--deep"], env)
  const into = `${database}_restored`
  await scene.json(["restore", "latest", "--into", into], env)
  expect(await compareDatabases({ server, name: database }, { server, name: into })).toEqual([])
  expect(await scene.json(["cleanup", "--keep-last", "1"], env)).toMatchObject({
    storages: [
      {
        removedBackups: 1,
        error: null,
        notes: rules.includes("no-list-uploads") ? [expect.stringContaining("can't list")] : [],
      },
    ],
  })
  expect(await scene.json(["list"], env)).toMatchObject({ backups: [{ database }] })
})
