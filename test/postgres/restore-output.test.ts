import { expect, test } from "vitest"
import {
  type RestoreOutput,
  type RestoreStep,
  readRestoreOutput,
} from "../../task/postgres/restore-output.ts"

function read(text: string): RestoreOutput & { readonly steps: readonly RestoreStep[] } {
  const steps: RestoreStep[] = []
  const reader = readRestoreOutput((step) => steps.push(step))
  for (const line of text.trimEnd().split("\n")) reader.line(line)
  return { ...reader.end(), steps }
}

test("an error has its entry, message, details and command, over several lines", () => {
  const { errors, warnings } = read(`pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 2923; 0 24616 TABLE DATA customers sample_owner
pg_restore: error: COPY failed for table "customers": ERROR:  duplicate key value violates unique constraint "c"
DETAIL:  Key (id)=(1) already exists.
CONTEXT:  COPY customers, line 1
pg_restore: from TOC entry 231; 1259 24640 TABLE orders of
someone app
pg_restore: error: could not execute query: ERROR:  type "x.y" does not exist
LINE 2:     status x.y
                   ^
Command was: CREATE TABLE orders (

    status x.y
);


pg_restore: warning: errors ignored on restore: 2`)
  expect(errors).toEqual([
    {
      class: "constraint-violated",
      message: 'duplicate key value violates unique constraint "c"',
      entry: "TABLE DATA customers sample_owner",
      dumpId: 2923,
      detail: "DETAIL:  Key (id)=(1) already exists.\nCONTEXT:  COPY customers, line 1",
      statement: null,
    },
    {
      class: "missing-object",
      message: 'type "x.y" does not exist',
      entry: "TABLE orders of",
      dumpId: 231,
      detail: "LINE 2:     status x.y\n                   ^",
      statement: "CREATE TABLE orders (\n\n    status x.y\n);",
    },
  ])
  expect(warnings).toEqual([])
})

test("pg_restore names an entry once for all its errors", () => {
  const { errors } = read(`pg_restore: from TOC entry 9; 2615 24538 SCHEMA shop app
pg_restore: error: could not execute query: ERROR:  schema "shop" already exists
Command was: CREATE SCHEMA shop;
pg_restore: error: could not execute query: ERROR:  role "app" does not exist
pg_restore: detail: Command was: ALTER SCHEMA shop OWNER TO app;
pg_restore: while FINALIZING:
pg_restore: error: could not execute query: ERROR:  canceling statement due to user request
pg_restore: warning: errors ignored on restore: 3`)
  expect(errors.map(({ entry, statement }) => [entry, statement])).toEqual([
    ["SCHEMA shop app", "CREATE SCHEMA shop;"],
    ["SCHEMA shop app", "ALTER SCHEMA shop OWNER TO app;"],
    [null, null],
  ])
})

test("an error of pg_restore itself belongs to no entry", () => {
  const { errors } = read(`pg_restore: from TOC entry 9; 2615 24538 SCHEMA shop app
pg_restore: error: could not execute query: ERROR:  schema "shop" already exists
Command was: CREATE SCHEMA shop;
pg_restore: error: could not read from input file: end of file`)
  expect(errors[1]).toEqual({
    class: "damaged-dump",
    message: "could not read from input file: end of file",
    entry: null,
    detail: null,
    statement: null,
  })
})

test("where the connection is lost, libpq's explanation is a detail", () => {
  const { errors } =
    read(`pg_restore: error: could not execute query: server closed the connection unexpectedly
\tThis probably means the server terminated abnormally
\tbefore or while processing the request.
Command was: SELECT 1;`)
  expect(errors[0]).toMatchObject({
    class: "connection-lost",
    message: "server closed the connection unexpectedly",
    statement: "SELECT 1;",
  })
})

test("a count that does not agree with what was understood is a warning", () => {
  const { errors, warnings } = read(`pg_restore: error: could not execute query: ERROR:  x
pg_restore: warning: errors ignored on restore: 2`)
  expect(errors.length).toBe(1)
  expect(warnings).toEqual(["pg_restore counted 2 errors, and 1 are reported here"])
})

test("warnings are kept, the program's and the server's; notices are not", () => {
  const { errors, warnings } =
    read(`pg_restore: WARNING:  wal_level is insufficient to publish logical changes
HINT:  Set wal_level to logical before creating subscriptions.
pg_restore: NOTICE:  table "x" does not exist, skipping
pg_restore: warning: line ignored: x`)
  expect(errors).toEqual([])
  expect(warnings).toEqual(["wal_level is insufficient to publish logical changes", "line ignored: x"])
})

test("a command with a password in it is cut before that", () => {
  const { errors } = read(`pg_restore: error: could not execute query: ERROR:  x
Command was: CREATE USER MAPPING FOR app SERVER s OPTIONS (
    password 'secret'
);`)
  expect(errors[0]?.statement).toBe("CREATE USER MAPPING FOR app SERVER s OPTIONS (\n    …")
})

test("a command of many megabytes is not kept whole", () => {
  const lines = Array.from({ length: 10_000 }, (_, n) => `line ${n} of a long function`)
  const { errors } = read(`pg_restore: error: could not execute query: ERROR:  x
Command was: CREATE FUNCTION f()
${lines.join("\n")}
pg_restore: error: could not execute query: ERROR:  y`)
  expect(errors.map(({ message }) => message)).toEqual(["x", "y"])
  expect(errors[0]?.statement?.length).toBeLessThan(10_000)
})

test("steps say what is at hand, and in which stage", () => {
  const { steps } = read(`pg_restore: connecting to database for restore
pg_restore: dropping INDEX orders_at
pg_restore: creating TABLE "shop.orders"
pg_restore: processing data for table "shop.two
lines"
pg_restore: executing SEQUENCE SET orders_id_seq
pg_restore: restoring large object with OID 17
pg_restore: restored 1 large object
pg_restore: creating FK CONSTRAINT "shop.orders orders_fkey"
pg_restore: creating MATERIALIZED VIEW DATA "analytics.daily"`)
  expect(steps).toEqual([
    { stage: "dropping", kind: "INDEX", object: "orders_at" },
    { stage: "schema", kind: "TABLE", object: "shop.orders" },
    { stage: "rows", kind: "TABLE DATA", object: "shop.two" },
    { stage: "rows", kind: "SEQUENCE SET", object: "orders_id_seq" },
    { stage: "rows", kind: "LARGE OBJECT", object: "17" },
    { stage: "indexes and constraints", kind: "FK CONSTRAINT", object: "shop.orders orders_fkey" },
    { stage: "indexes and constraints", kind: "MATERIALIZED VIEW DATA", object: "analytics.daily" },
  ])
})

test("a setting of pg_restore's own session that the server does not know is a warning", () => {
  const { errors, warnings, counted, ownCounted } = read(`pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 9; 1255 24538 FUNCTION f() app
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "x"
Command was: CREATE FUNCTION f() SET x = 1;
pg_restore: warning: errors ignored on restore: 2`)
  expect(errors.map(({ entry }) => entry)).toEqual(["FUNCTION f() app"])
  expect(warnings).toEqual([
    'pg_restore went on without a setting: unrecognized configuration parameter "transaction_timeout"',
  ])
  expect([counted, ownCounted]).toEqual([2, 1])
})

test.for(["implied data-only restore", "implied no-schema restore"])(
  "so it is where pg_restore has said %j before",
  (words) => {
    const { errors, counted, ownCounted } = read(`pg_restore: connecting to database for restore
pg_restore: ${words}
pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
pg_restore: processing data for table "public.t"
pg_restore: warning: errors ignored on restore: 1`)
    expect(errors).toEqual([])
    expect([counted, ownCounted]).toEqual([1, 1])
  },
)

test("once an object has been named, nothing is taken for a lack of pg_restore's own session", () => {
  const { errors, ownCounted } = read(`pg_restore: connecting to database for restore
pg_restore: creating INDEX "public.x
pg_restore: while INITIALIZING:"
pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "x"
Command was: SET a = b;
pg_restore: warning: errors ignored on restore: 1`)
  expect(errors.map(({ class: name }) => name)).toEqual(["unknown-setting"])
  expect(ownCounted).toBe(0)
})

test("errors count where pg_restore says it at its end, and nowhere else", () => {
  expect(
    read("pg_restore: executing SEQUENCE SET x\npg_restore: warning: errors ignored on restore: 1\nx")
      .counted,
  ).toBe(1)
  const { counted, warnings } = read(`pg_restore: executing SEQUENCE SET x
pg_restore: warning: errors ignored on restore: 1
pg_restore: error: could not execute query: ERROR:  y`)
  expect(counted).toBe(undefined)
  expect(warnings).toEqual([])
})

test("the server's words on an error are no lost connection, as long as it is there to say them", () => {
  const classes = (words: string) =>
    read(`pg_restore: error: could not execute query: ${words}`).errors.map(({ class: name }) => name)
  expect(classes("ERROR:  server closed the connection unexpectedly")).toEqual(["other"])
  expect(classes("FATAL:  terminating connection due to administrator command")).toEqual(["connection-lost"])
  expect(classes("server closed the connection unexpectedly")).toEqual(["connection-lost"])
})
