import { expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import { setScene } from "../support/scene.ts"
import { majors } from "../support/shared-postgres.ts"

/** Names and values that the encoding has, as UTF-8. */
const words: Readonly<Record<string, string>> = {
  LATIN1: "Größe àéîõü ÿ",
  LATIN2: "Łódź žluťoučký",
  LATIN9: "€ Šœuf",
  WIN1251: "Привет, мир",
  WIN1252: "“smart” €",
  KOI8R: "Ёлка ── █",
  ISO_8859_7: "Ελλάδα",
  EUC_JP: "日本語テスト",
  EUC_KR: "한국어",
  EUC_CN: "中文测试",
  EUC_TW: "中文測試",
  UTF8: "🐘 日本語 Ё é",
}

// Each on one of the versions, in turn.
const cases = Object.entries(words).map(
  ([encoding, word], at) => [encoding, majors[at % majors.length], word] as const,
)

test.for(cases)("a database in %s comes back as it was on PostgreSQL %i", async ([encoding, major, word]) => {
  const scene = await setScene(major)
  const { server, database } = scene
  await server.psql(`DROP DATABASE ${database}`)
  await server.psql(`CREATE DATABASE ${database} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`)
  await server.psql(
    `SET client_encoding = 'UTF8';
       CREATE SCHEMA "${word}";
       CREATE TYPE "${word}"."kind ${word}" AS ENUM ('${word}', 'other');
       CREATE TABLE "${word}"."${word}" (id int PRIMARY KEY, "column ${word}" text DEFAULT '${word}', kind "${word}"."kind ${word}");
       INSERT INTO "${word}"."${word}" SELECT n, repeat('${word} \\', 100) || n, '${word}' FROM generate_series(1, 30000) AS n;
       CREATE INDEX "index ${word}" ON "${word}"."${word}" ("column ${word}") WHERE "column ${word}" <> '${word}';
       COMMENT ON TABLE "${word}"."${word}" IS 'it''s ${word}';
       CREATE VIEW "view ${word}" AS SELECT '${word}' AS "${word}", * FROM "${word}"."${word}";
       CREATE FUNCTION "function ${word}"() RETURNS text LANGUAGE sql AS $$SELECT '${word}'$$`,
    database,
  )
  await scene.json(["backup", "--jobs", "2"])
  await scene.json(["restore", "latest", "--into", `${database} back`, "--jobs", "2"])
  expect(await compareDatabases({ server, name: database }, { server, name: `${database} back` })).toEqual([])
})
