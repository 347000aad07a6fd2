import { expect, test } from "vitest"
import { classOf, groupErrors, type RestoreError } from "../../task/postgres/restore-errors.ts"

test.for([
  ['role "app" does not exist', "missing-role"],
  ['role "Odd ""App"""\nwith a newline" does not exist', "missing-role"],
  ['must be able to SET ROLE "rds_superuser"', "foreign-owner"],
  ['must be member of role "postgres"', "foreign-owner"],
  ["must be owner of extension pgcrypto", "extension-comment"],
  ['extension "postgis" is not available', "missing-extension"],
  ['permission denied to create extension "pg_cron"', "missing-extension"],
  ['extension "postgis" does not exist', "missing-extension"],
  ['could not access file "$libdir/postgis-3": No such file or directory', "missing-extension"],
  ['unrecognized configuration parameter "transaction_timeout"', "unknown-setting"],
  ['relation "orders" already exists', "already-exists"],
  ['constraint "a" for relation "b" already exists', "already-exists"],
  ['multiple primary keys for table "orders" are not allowed', "already-exists"],
  ["cannot drop schema shop because other objects depend on it", "still-needed"],
  ["permission denied for schema public", "permission-denied"],
  ["must be owner of table orders", "permission-denied"],
  ["must be superuser to create an event trigger", "permission-denied"],
  ['insert or update on table "a" violates foreign key constraint "b"', "constraint-violated"],
  ['could not create unique index "orders_pkey"', "constraint-violated"],
  ['check constraint "c" of relation "t" is violated by some row', "constraint-violated"],
  ['column "id" of relation "t" contains null values', "constraint-violated"],
  ['invalid input syntax for type integer: "x"', "bad-data"],
  ['invalid byte sequence for encoding "UTF8": 0x00', "bad-data"],
  [
    'character with byte sequence 0xe2 0x82 in encoding "UTF8" has no equivalent in encoding "LATIN1"',
    "bad-data",
  ],
  ["canceling statement due to lock timeout", "time-limit"],
  ["server closed the connection unexpectedly", "connection-lost"],
  ["terminating connection due to administrator command", "connection-lost"],
  [
    'could not resize shared memory segment "/PostgreSQL.1" to 67108864 bytes: No space left on device',
    "shared-memory",
  ],
  ['could not extend file "base/1/2": No space left on device', "disk-full"],
  ["could not read from input file: end of file", "damaged-dump"],
  ["input file is too short (read 4, expected 5)", "damaged-dump"],
  ["unsupported version (1.16) in file header", "too-new-dump"],
  ['type "public.hstore" does not exist', "missing-object"],
  ['syntax error at or near "VIRTUAL"', "unknown-syntax"],
  ["ICU is not supported in this build", "not-built-in"],
  ["unsupported XML feature", "not-built-in"],
  ["compression method lz4 not supported", "not-built-in"],
  ["tablespaces are not supported on this platform", "not-built-in"],
  ["out of shared memory", "too-many-locks"],
  ['materialized view "a" has not been populated', "not-populated"],
  ["out of memory", "other"],
  ["Rolle »app« existiert nicht", "other"],
] as const)("%s is %s", ([message, name]) => {
  expect(classOf(message)).toBe(name)
})

test("groups count every error, keep the order, and say what to do", () => {
  const error = (message: string): RestoreError => ({
    class: classOf(message),
    message,
    entry: null,
    detail: null,
    statement: null,
  })
  const owners = Array.from({ length: 7 }, (_, n) => error(`role "r${n}" does not exist`))
  const errors = [...owners.slice(0, 1), error("who knows"), ...owners.slice(1)]
  const groups = groupErrors(errors)
  expect(groups.map(({ class: name, count }) => [name, count])).toEqual([
    ["missing-role", 7],
    ["other", 1],
  ])
  expect(groups[0]?.examples).toEqual(owners.slice(0, 5))
  for (const { title, hint } of groups) {
    expect(title).not.toBe("")
    expect(hint).toMatch(/^[A-Z].*\.$/)
  }
})

test("a name that a function looks for without a schema is told from one that is missing", () => {
  const detail = "CONTEXT:  PL/pgSQL function public.slug(text) line 1 at RETURN\nCOPY doc, line 1"
  const message = "function clean(text) does not exist"
  expect(classOf(message, "ERROR", { detail })).toBe("search-path")
  expect(classOf(message, "ERROR", { statement: "CREATE VIEW v AS SELECT clean(t) FROM x" })).toBe(
    "missing-object",
  )
  expect(classOf('relation "public.doc" does not exist', "ERROR", { detail })).toBe("missing-object")
  const statement = "REFRESH MATERIALIZED VIEW public.words;"
  expect(classOf('relation "doc" does not exist', "ERROR", { statement })).toBe("search-path")
})

test("what is missing is said to follow from another error only where there is another", () => {
  const error = (message: string): RestoreError => ({
    class: classOf(message),
    message,
    entry: null,
    detail: null,
    statement: null,
  })
  const missing = error('type "public.hstore" does not exist')
  const [alone] = groupErrors([missing, missing])
  expect(alone?.hint).not.toContain("follows from another")
  expect(alone?.hint).toContain("not in what was restored")
  const [beside] = groupErrors([missing, error('extension "hstore" is not available')])
  expect(beside?.hint).toContain("follows from another error")
})
