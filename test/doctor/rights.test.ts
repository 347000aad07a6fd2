import { beforeEach, describe, expect, test } from "vitest"
import { noPatterns, type TablePatterns } from "../../task/core/table-patterns.ts"
import { majors, sharedPostgres } from "../support/shared-postgres.ts"
import { makePatient, type Patient } from "./patient.ts"

describe.for(majors)("rights on PostgreSQL %i", (major) => {
  let patient: Patient
  beforeEach(async () => {
    patient = await makePatient(await sharedPostgres(major))
  })

  test("a role that may read everything has nothing to be told", async () => {
    await patient.sql(`
      GRANT pg_read_all_data TO ${patient.role};
      CREATE SCHEMA app; CREATE TABLE app.a (id serial)`)
    expect(await patient.examine()).toEqual([])
  })

  test("the superuser may read everything", async () => {
    await patient.sql(`ALTER ROLE ${patient.role} SUPERUSER; CREATE TABLE t (); SELECT lo_create(0)`)
    expect(await patient.examine()).toEqual([])
  })

  test("a schema that may not be used", async () => {
    await patient.sql(`
      CREATE SCHEMA "closed house"; CREATE TABLE "closed house".t ();
      GRANT SELECT ON "closed house".t TO ${patient.role};
      CREATE SCHEMA empty`)
    const { severity, what, fix } = await patient.cure("rights.schemas")
    expect({ severity, what }).toEqual({
      severity: "error",
      what: 'the role may not use the schema "closed house"',
    })
    expect(fix).toBe(`GRANT USAGE ON SCHEMA "closed house" TO ${patient.role};`)
  })

  test("tables and partitions that may not be read", async () => {
    await patient.sql(`
      CREATE TABLE "A" (id int); CREATE TABLE readable (); GRANT SELECT ON readable TO ${patient.role};
      CREATE TABLE p (i int) PARTITION BY LIST (i); CREATE TABLE p1 PARTITION OF p DEFAULT`)
    const { fix } = await patient.cure("rights.tables")
    expect(fix).toBe(`GRANT SELECT ON TABLE public."A", public.p, public.p1 TO ${patient.role};`)
  })

  test("a right on columns alone is none on the table", async () => {
    await patient.sql(`CREATE TABLE t (a int, b int); GRANT SELECT (a) ON t TO ${patient.role}`)
    await patient.cure("rights.tables")
  })

  test("what the patterns leave out needs no right, and a table without its rows still does", async () => {
    await patient.sql(`
      CREATE SCHEMA closed; CREATE TABLE closed.t (id serial); CREATE SEQUENCE numbers; SELECT lo_create(4711);
      CREATE TABLE a (); CREATE TABLE b (); CREATE TABLE log ();
      CREATE TABLE seen (); ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
      GRANT SELECT ON a, seen TO ${patient.role}`)
    const by = (patterns: Partial<TablePatterns>) => ({ patterns: { ...noPatterns, ...patterns } })
    const checks = async (patterns: Partial<TablePatterns>) =>
      (await patient.examine(by(patterns))).map(({ check }) => check)
    expect(await checks({ tables: ["a"] })).toEqual([])
    expect(await checks({ tables: ["seen"] })).toEqual(["rights.row-security"])
    expect(await checks({ tables: ["seen"], excludeTableData: ["seen"] })).toEqual([])
    expect((await checks({ schemas: ["closed"] })).sort()).toEqual([
      "rights.schemas",
      "rights.sequences",
      "rights.tables",
    ])
    expect(await checks({ excludeSchemas: ["closed"], excludeTables: ["*"] })).toEqual([
      "rights.large-objects",
    ])
    const { fix } = await patient.cure(
      "rights.tables",
      by({ tables: ["log", "b"], excludeTableData: ["log"] }),
    )
    expect(fix).toBe(`GRANT SELECT ON TABLE public.b, public.log TO ${patient.role};`)
  })

  test("patterns that choose nothing, and that leave nothing out", async () => {
    await patient.sql(`GRANT pg_read_all_data TO ${patient.role}; CREATE TABLE a ()`)
    const found = async (patterns: Partial<TablePatterns>) => {
      const findings = await patient.examine({ patterns: { ...noPatterns, ...patterns } })
      return findings.map(({ check, severity, what }) => `${check} ${severity} ${what}`)
    }
    expect(await found({ tables: ["none"] })).toEqual(["source.patterns error no table matches --table none"])
    expect(await found({ excludeTables: ["none"] })).toEqual([
      "source.patterns warning no table matches --exclude-table none",
    ])
    expect(await found({ tables: ["a("] })).toEqual([/source\.patterns error --table a\( is no pattern/])
  })

  test("many tables that may not be read are granted at once", async () => {
    await patient.sql(`SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 30) i \\gexec`)
    const { what, fix } = await patient.cure("rights.tables")
    expect(what).toBe(
      "the role may not read 30 tables of the schema public: public.t1, public.t10, public.t11, public.t12, public.t13 and 25 more",
    )
    expect(fix).toBe(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${patient.role};`)
  })

  test("a sequence that may not be read", async () => {
    await patient.sql("CREATE SEQUENCE numbers")
    const { fix } = await patient.cure("rights.sequences")
    expect(fix).toBe(`GRANT SELECT ON SEQUENCE public.numbers TO ${patient.role};`)
  })

  test("large objects that may not be read, a few and many", async () => {
    await patient.sql("SELECT lo_create(4711)")
    const { fix } = await patient.cure("rights.large-objects")
    expect(fix).toBe(`GRANT SELECT ON LARGE OBJECT 4711 TO ${patient.role};`)
    await patient.sql("SELECT count(lo_create(0)) FROM generate_series(1, 30)")
    const { what } = await patient.cure("rights.large-objects")
    expect(what).toMatch(/^the role may not read 30 large objects: \d+, \d+, \d+, \d+, \d+ and 16 more, …$/)
  })

  test("row-level security that would hide rows, whatever else the role may read", async () => {
    await patient.sql(`
      GRANT pg_read_all_data TO ${patient.role};
      CREATE TABLE secrets (id int); ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
      CREATE TABLE open (id int)`)
    const { severity, fix } = await patient.cure("rights.row-security")
    expect({ severity, fix }).toEqual({ severity: "error", fix: `ALTER ROLE ${patient.role} BYPASSRLS;` })
  })

  test("row-level security of one's own table, where it is forced", async () => {
    await patient.sql(`
      CREATE TABLE own (id int); ALTER TABLE own OWNER TO ${patient.role}; ALTER TABLE own ENABLE ROW LEVEL SECURITY`)
    expect(await patient.examine()).toEqual([])
    await patient.sql("ALTER TABLE own FORCE ROW LEVEL SECURITY")
    await patient.cure("rights.row-security")
  })

  test("subscriptions that nobody but a superuser may read", async () => {
    await patient.sql(
      "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 dbname=nowhere' PUBLICATION p WITH (connect = false)",
    )
    try {
      const { severity } = await patient.cure("rights.subscriptions")
      expect(severity).toBe("warning")
    } finally {
      await patient.sql("ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s")
    }
  })

  test("options of user mappings that nobody but a superuser may read", async () => {
    await patient.sql(`
      CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
      CREATE USER MAPPING FOR postgres SERVER far OPTIONS (password 'secret')`)
    const { what } = await patient.cure("rights.user-mappings")
    expect(what).toBe("the role may not read the options of 1 user mapping")
  })
})
