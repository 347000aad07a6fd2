import { expect, test } from "vitest"
import { type Named, namesLookedUp } from "../../task/postgres/names-looked-up.ts"

const own = 20_000
const named = (kind: Named["kind"], name: string, more: Partial<Named> = {}): Named => ({
  kind,
  name,
  schema: "app",
  takes: [],
  isShared: false,
  ...more,
})
const there = Map.groupBy(
  [
    named("relation", "codes"),
    named("relation", "Odd Name"),
    named("relation", "seq"),
    named("type", "mood"),
    named("routine", "helper"),
    named("routine", "lower", { isShared: true, takes: [own] }),
    named("operator", "=", { isShared: true, takes: [own] }),
    named("operator", "==="),
    named("configuration", "german_x"),
  ],
  ({ kind, name }) => `${kind} ${name}`,
)

test.for([
  ["SELECT 1 FROM codes", "codes"],
  ["SELECT 1 FROM app.codes", ""],
  ["SELECT 1 FROM x AS y, CODES AS z WHERE true", "codes"],
  ["SELECT codes, x FROM x ORDER BY y, codes", ""],
  ['SELECT 1 FROM x LEFT JOIN ONLY "Odd Name" USING (codes)', "Odd Name"],
  ["INSERT INTO codes (a) VALUES (1)", "codes"],
  ["SELECT 1 INTO codes FROM x", ""],
  ["DELETE FROM x USING codes", "codes"],
  ["WITH codes AS (SELECT 1) SELECT * FROM codes", ""],
  ["SELECT extract(year FROM codes), substring(a FROM codes)", ""],
  ["SELECT a IS NOT DISTINCT FROM codes", ""],
  ["SELECT 'FROM codes' -- FROM codes\n/* FROM codes */", ""],
  ["SELECT helper (1), app.helper(2)", "helper"],
  ["SELECT helper", ""],
  ["SELECT app.helper(1) === 2", "==="],
  ["SELECT 1 OPERATOR(app.===) 2", ""],
  ["SELECT NULL::mood, CAST(1 AS codes)", "mood codes"],
  ["SELECT NULL::app.mood", ""],
  ["SELECT nextval('seq'), 'codes'::regclass, 'app.codes'::regclass", "seq codes"],
  ["SELECT to_tsvector('german_x', $1), lower('german_x')", "german_x"],
  ["DECLARE m mood; c constant codes := 1; r x.codes; BEGIN END", "mood codes"],
  ['DECLARE r codes.rate%TYPE; s "Odd Name"%ROWTYPE; BEGIN END', "codes Odd Name"],
  ["BEGIN RAISE 'SELECT FROM codes'; END", ""],
  ["BEGIN EXECUTE 'SELECT FROM codes'; END", "codes"],
  ["BEGIN EXECUTE $q$SELECT FROM codes$q$; END", "codes"],
  ["SELECT lower($1), 1 = 2", ""],
] as const)("%s looks up: %s", ([body, expected]) => {
  const { found } = namesLookedUp({ language: "plpgsql", body, takes: [] }, there)
  expect(found.map(({ name }) => name).join(" ")).toBe(expected)
})

test("what PostgreSQL has too is looked up where a routine has the types for it", () => {
  const { found } = namesLookedUp({ language: "sql", body: "SELECT lower($1) = 'a'", takes: [own] }, there)
  expect(found.map(({ name }) => name)).toEqual(["lower", "="])
})

test("in another language, the SQL within quotes of any kind is read", () => {
  const body = `plan = plpy.prepare("SELECT rate FROM codes WHERE code = $1", ['int'])`
  expect(namesLookedUp({ language: "plpython3u", body, takes: [] }, there).found).toHaveLength(1)
})

test("what is called is told with its schema", () => {
  const { calls } = namesLookedUp({ language: "sql", body: "SELECT app.one(two(1))", takes: [] }, there)
  expect(calls).toMatchObject([
    { schema: "app", name: "one" },
    { schema: undefined, name: "two" },
  ])
})
