import { beforeAll, describe, expect, test } from "vitest"
import { compareDatabases } from "../support/compare-databases.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { setScene } from "../support/scene.ts"
import { newestMajor, sharedPostgres } from "../support/shared-postgres.ts"

/** An equality of its own in a schema of its own, which text's would stand in for. */
const schema = `
  CREATE SCHEMA "Ops";
  CREATE DOMAIN "Ops".word AS text;
  CREATE TYPE "Ops".loose AS (t text);
  CREATE FUNCTION "Ops".same("Ops".loose, "Ops".loose) RETURNS bool LANGUAGE sql IMMUTABLE AS
    'SELECT lower(($1).t) OPERATOR(pg_catalog.=) lower(($2).t)';
  CREATE OPERATOR "Ops".= (LEFTARG = "Ops".loose, RIGHTARG = "Ops".loose, FUNCTION = "Ops".same);
  SET search_path = "Ops", public;
  CREATE TABLE public.t (id int PRIMARY KEY, a loose, b loose, CONSTRAINT few CHECK (a IS DISTINCT FROM ROW('')::loose));
  INSERT INTO public.t VALUES (1, ROW('X'), ROW('x')), (2, ROW('x'), ROW('y'));
  CREATE VIEW public.differs AS SELECT id, a IS DISTINCT FROM b AS d FROM public.t;
  CREATE VIEW public.over_that AS SELECT * FROM public.differs WHERE d;
  CREATE MATERIALIZED VIEW public.cases AS
    SELECT id, CASE a WHEN ROW('X')::loose THEN 'is' ELSE 'is not' END AS c, NULLIF(a, b) AS n FROM public.t;
  CREATE VIEW public.found AS SELECT id FROM public.t WHERE a IN (SELECT b FROM public.t);
  CREATE TABLE public.log (id int);
  CREATE FUNCTION public.log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (NEW.id); RETURN NEW; END';
  CREATE TRIGGER log AFTER UPDATE ON public.t FOR EACH ROW WHEN (OLD.a IS DISTINCT FROM NEW.a) EXECUTE FUNCTION public.log();
  GRANT SELECT ON public.differs TO public`

describe.for(newestMajor)("operators outside the search_path, with PostgreSQL %i", (major) => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await sharedPostgres(major)
  })

  test.for([true, false])(
    "mean the same where they have no schema to be named by (new database: %s)",
    async (isNew) => {
      const scene = await setScene(server)
      await server.psql(schema, scene.database)
      await scene.json(["backup"])
      const into = isNew ? `${scene.database}_copy` : await server.createDatabase()
      expect(await scene.json(["restore", "latest", "--into", into, "--yes"])).toMatchObject({ warnings: [] })
      expect(await compareDatabases({ server, name: scene.database }, { server, name: into })).toEqual([])
      expect(await server.psql("SELECT id FROM over_that", into)).toBe("2")
      await server.psql(`UPDATE t SET a = ROW('X')::"Ops".loose`, into)
      expect(await server.psql("SELECT count(*) FROM log", into)).toBe("0")
      await server.psql(`UPDATE t SET a = ROW('z')::"Ops".loose WHERE id = 1`, into)
      expect(await server.psql("SELECT id FROM log", into)).toBe("1")
    },
  )
})
