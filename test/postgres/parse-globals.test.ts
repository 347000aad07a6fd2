import { expect, test } from "vitest"
import { literal } from "../../task/core/quote.ts"
import type { Globals, Role } from "../../task/postgres/globals.ts"
import { globalsSql } from "../../task/postgres/globals-sql.ts"
import { parseGlobals } from "../../task/postgres/parse-globals.ts"
import { failureOf } from "../support/failure.ts"

const odd = `it's "odd" \\ ☂\n; CREATE ROLE x SUPERUSER; -- '`

const plain: Role = {
  name: "app",
  superuser: false,
  inherit: true,
  createRole: false,
  createDatabase: false,
  login: true,
  replication: false,
  bypassRls: false,
  connectionLimit: -1,
  validUntil: null,
  comment: null,
  labels: [],
  settings: [],
}

const globals: Globals = {
  roles: [
    plain,
    {
      ...plain,
      name: odd,
      superuser: true,
      inherit: false,
      createRole: true,
      connectionLimit: 7,
      validUntil: "infinity",
      comment: odd,
      labels: [{ provider: odd, label: odd }],
      settings: [
        { database: null, values: ["search_path=a, b", `application_name=${odd}`] },
        { database: odd, values: ["work_mem=9MB"] },
      ],
    },
  ],
  memberships: [
    { role: odd, member: "app", memberInherits: true, admin: true, inherit: false, set: false },
    { role: "app", member: odd, memberInherits: true, admin: false, inherit: null, set: null },
  ],
  parameterGrants: [
    { parameter: "a.b", privilege: "SET", grantee: null, grantable: false },
    { parameter: "a.b", privilege: "ALTER SYSTEM", grantee: odd, grantable: true },
  ],
}

test("what pgstow wrote is read statement by statement, and made again as it was", () => {
  const statements = parseGlobals(globalsSql(globals))
  expect(statements.slice(0, 2)).toEqual([
    { kind: "role", role: "app", options: ["LOGIN"], rights: [], login: true },
    {
      kind: "role",
      role: odd,
      options: ["NOINHERIT", "CONNECTION LIMIT 7", "VALID UNTIL 'infinity'", "LOGIN"],
      rights: ["SUPERUSER", "CREATEROLE"],
      login: true,
    },
  ])
  const others = statements.flatMap((one) => (one.kind === "role" ? [] : [one.sql]))
  expect(others).toHaveLength(9)
  const text = globalsSql(globals)
  for (const sql of others) expect(text).toContain(`${sql};\n`)
  expect(statements.at(-1)).toMatchObject({ kind: "database setting", role: odd, database: odd })
})

test.each([
  "ALTER ROLE app SUPERUSER;",
  "DROP ROLE app;",
  "CREATE ROLE \"app\" PASSWORD 'x';",
  "CREATE ROLE app;",
  'CREATE ROLE "app" IN ROLE "b";',
  'CREATE ROLE "app" CONNECTION LIMIT -1;',
  "\\! touch proof\n",
  "COPY (SELECT 1) TO PROGRAM 'x';",
  'CREATE ROLE "app"',
  'CREATE ROLE "app" LOGIN; SELECT 1;',
  "COMMENT ON ROLE \"app\" IS 'a\\' ;",
  `COMMENT ON ROLE "app" IS E'a\\n';`,
  'COMMENT ON ROLE "app" IS NULL;',
  'ALTER ROLE "app" RESET ALL;',
  'GRANT ALL ON DATABASE "a" TO "app";',
  'GRANT "a" TO "b" GRANTED BY "c";',
  "SET session_authorization = 'postgres';",
  "/* */ SELECT 1;",
  '"app',
])("nothing else is let through: %j", (sql) => {
  expect(failureOf(() => parseGlobals(sql)).kind).toBe("damaged")
})

test("a value that is cut, or goes on behind its quote, is refused whole", () => {
  const text = `COMMENT ON ROLE "app" IS ${literal(odd)};\n`
  expect(parseGlobals(text)).toHaveLength(1)
  for (let end = 1; end < text.length - 2; end++)
    expect(failureOf(() => parseGlobals(text.slice(0, end))).kind).toBe("damaged")
})
