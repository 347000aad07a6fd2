import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { setScene } from "../support/scene.ts"

/** Money moves between the rows of two tables, and each movement is in a third, which grows; all in one transaction. */
const schema = `
  CREATE TABLE debit (id int PRIMARY KEY, amount bigint NOT NULL, pad text);
  CREATE TABLE credit (id int PRIMARY KEY, amount bigint NOT NULL, pad text);
  ALTER TABLE debit ALTER pad SET STORAGE PLAIN;
  ALTER TABLE credit ALTER pad SET STORAGE PLAIN;
  CREATE TABLE moved (id bigserial PRIMARY KEY, debit int, credit int, amount bigint);
  INSERT INTO debit SELECT n, 0, repeat('d', 4000) FROM generate_series(1, 6000) AS n;
  INSERT INTO credit SELECT n, 0, repeat('c', 4000) FROM generate_series(1, 6000) AS n;
  CREATE PROCEDURE move_money() LANGUAGE plpgsql AS $$
    DECLARE one int; other int; many bigint;
    BEGIN
      LOOP
        one := 1 + floor(random() * 6000); other := 1 + floor(random() * 6000); many := floor(random() * 1000);
        UPDATE public.debit SET amount = amount - many WHERE id = one;
        UPDATE public.credit SET amount = amount + many WHERE id = other;
        INSERT INTO public.moved (debit, credit, amount) VALUES (one, other, many);
        COMMIT;
      END LOOP;
    END $$`

const books = `
  SELECT json_build_object(
    'movements', (SELECT count(*) FROM moved),
    'debit and credit', (SELECT sum(amount) FROM debit) + (SELECT sum(amount) FROM credit),
    'debit and movements', (SELECT sum(amount) FROM debit) + (SELECT sum(amount) FROM moved),
    'rows that differ', (SELECT count(*) FROM debit LEFT JOIN (SELECT debit AS id, sum(amount) AS sum FROM moved GROUP BY 1) AS m USING (id)
        WHERE amount + coalesce(sum, 0) <> 0)
      + (SELECT count(*) FROM credit LEFT JOIN (SELECT credit AS id, sum(amount) AS sum FROM moved GROUP BY 1) AS m USING (id)
        WHERE amount - coalesce(sum, 0) <> 0))`

test("four streams under heavy writes hold one moment: the books of three tables balance", async () => {
  const scene = await setScene()
  const { server, database } = scene
  await server.psql(schema, database)
  // They end when they are told to, which is an error to them.
  const writers = [1, 2, 3].map(() => server.psql("CALL move_money()", database).catch(() => {}))
  try {
    while (Number(await server.psql("SELECT count(*) FROM moved", database)) < 1000) await sleep(50)
    await scene.json(["backup", "--jobs", "4"])
    await sleep(200)
  } finally {
    await server.psql(
      `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'CALL move_money%' AND datname = '${database}'`,
    )
    await Promise.all(writers)
  }
  const shown = await scene.json(["show"])
  expect(JSON.stringify(shown)).toContain("segment")
  await scene.json(["restore", "latest", "--into", `${database} back`, "--jobs", "4"])
  const [before, after] = [database, `${database} back`].map(async (name) => {
    const answer: unknown = JSON.parse(await server.psql(books, name))
    return answer as { movements: number } // what the query makes
  })
  const copy = await after
  expect(copy).toMatchObject({ "debit and credit": 0, "debit and movements": 0, "rows that differ": 0 })
  expect(copy?.movements).toBeGreaterThanOrEqual(1000)
  // Writing went on all the time.
  expect((await before)?.movements).toBeGreaterThan(copy?.movements ?? Number.POSITIVE_INFINITY)
})
