import { expect, test } from "vitest"
import { TransactionControlScanner } from "../../task/postgres/transaction-control.ts"
import { inPieces } from "../support/bytes.ts"

async function find(sql: string, pieces: readonly number[]) {
  const scanner = new TransactionControlScanner()
  for await (const chunk of inPieces(Buffer.from(sql), [...pieces])) scanner.write(chunk)
  return scanner.found
}

test.each([
  ["alone", "SELECT 1;\ncommit;\n", "COMMIT", 2],
  ["behind another statement", "SELECT 1; Commit AND CHAIN;", "COMMIT", 1],
  ["behind a remark", "/* a /* b */ */ -- c\nEND;\n", "END", 2],
  ["behind */*", "SELECT 2 /* a */* 3; COMMIT;", "COMMIT", 1],
  ["that begins one", "BEGIN;\n", "BEGIN", 1],
  ["in two words", "START\n/* a */ TRANSACTION;\n", "START", 1],
  ["that prepares one", "PREPARE TRANSACTION 'a';", "PREPARE", 1],
  ["that rolls back", "ROLLBACK WORK;", "ROLLBACK", 1],
  ["that aborts", "abort ;", "ABORT", 1],
  ["behind a string", String.raw`SELECT 'a\'; COMMIT; --'`, "COMMIT", 1],
  ["behind a string with escapes", String.raw`SELECT E'a\''; COMMIT;`, "COMMIT", 1],
  [
    "behind a string of an old server",
    String.raw`SET standard_conforming_strings = off; SELECT 'a\''; COMMIT;`,
    "COMMIT",
    1,
  ],
  ["behind a body", "DO $a$ BEGIN $b$ $ END; $a$; COMMIT;", "COMMIT", 1],
  ["behind a parameter", "PREPARE a AS SELECT $1; COMMIT; SELECT '$1';", "COMMIT", 1],
  ["behind rows", "COPY t (a) FROM stdin;\nBEGIN;\n\\\\.\n'\n\\.\nCOMMIT;\n", "COMMIT", 6],
  ["beside a COPY", "COPY t FROM stdin; COMMIT;\n\\.\n", "COMMIT", 1],
  ["behind rows within a string", "COPY t FROM stdin; SELECT '\n'\n\\.\na'; COMMIT;\n", "COMMIT", 4],
  [
    "behind a function in SQL",
    "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; COMMIT;",
    "COMMIT",
    1,
  ],
  ["sent by \\;", "SELECT 1 \\; COMMIT \\; SELECT 2;", "COMMIT", 1],
])("a statement is found %s", async (_, sql, statement, line) => {
  for (const pieces of [[1], [3], [100_000]]) expect(await find(sql, pieces)).toEqual({ statement, line })
})

test.each([
  ["a string", "SELECT 'a''; COMMIT; ';"],
  ["a string that goes on", String.raw`SELECT E'a''\'; COMMIT; ';`],
  ["a name", 'SELECT 1 AS "a""; COMMIT; ";'],
  ["a remark", "-- ; COMMIT;\nSELECT 1; /* ; COMMIT; /* */ ; COMMIT; */"],
  ["a body", "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $_$\nBEGIN\n  COMMIT;\nEND;\n$_$;"],
  [
    "a body in SQL",
    "CREATE FUNCTION f() RETURNS int\n BEGIN ATOMIC\n SELECT 1;\n SELECT 2;\nEND;\nSELECT 1;",
  ],
  ["rows", "COPY public.t (a, b) FROM stdin;\nCOMMIT;\n;COMMIT;\n\\.\n\nSELECT 1;"],
  ["parentheses", "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);"],
  ["a savepoint", "SAVEPOINT a; ROLLBACK TO a; ROLLBACK WORK TO SAVEPOINT a; RELEASE a;"],
  ["a prepared statement", "PREPARE a AS SELECT 1;"],
  ["another word", "SELECT 1 AS commit_; SELECT x$commit FROM t; CREATE TABLE t (begin int);"],
])("nothing is found in %s", async (_, sql) => {
  for (const pieces of [[1], [100_000]]) expect(await find(sql, pieces)).toBeUndefined()
})
