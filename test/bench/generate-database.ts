import { availableParallelism } from "node:os"
import { mapConcurrently } from "../../task/core/map-concurrently.ts"
import type { PostgresServer } from "../support/postgres.ts"

/** What a database is to be filled with: how many bytes of a raw dump (`pg_dump -Fc -Z0`), about, of each kind. */
export type Mix = {
  /** JSON and text, rows of 0.9 kB, as applications write them. */
  readonly documents: number
  /** Rows of a hundred columns. */
  readonly wide: number
  /** Accounts and what was booked on them: short rows, a foreign key. */
  readonly narrow: number
  /** Random bytes in rows. */
  readonly blobs: number
  /** Random bytes in large objects. */
  readonly largeObjects: number
  /** All of 500 tables together. */
  readonly small: number
}

/** A raw dump of so many bytes with something of everything; an eighth of it can't be compressed. */
export function mixed(bytes: number): Mix {
  return {
    documents: 0.4 * bytes,
    wide: 0.1 * bytes,
    narrow: 0.26 * bytes,
    // Two hexadecimal digits a byte.
    blobs: 0.2 * bytes,
    largeObjects: 0.025 * bytes,
    small: 0.015 * bytes,
  }
}

/** A raw dump of so many bytes, in tables that are big: a hundredth of it is in other ones. */
export function mostlyBig(bytes: number): Mix {
  return {
    documents: 0.45 * bytes,
    wide: 0.09 * bytes,
    narrow: 0.25 * bytes,
    blobs: 0.2 * bytes,
    largeObjects: 0,
    small: 0.01 * bytes,
  }
}

/**
 * Makes a database and fills it with what the server computes of row numbers: the same for the same mix. Then
 * vacuums it, so that whoever reads it first has no more to do than whoever comes after.
 */
export async function generateDatabase(
  server: PostgresServer,
  name: string,
  mix: Mix,
  options: { readonly indexes?: boolean; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const { indexes = true, signal } = options
  await server.createDatabase(name)
  const steps = [documents(mix.documents), narrow(mix.narrow), blobs(mix.blobs), wide(mix.wide)]
  const others = [small(mix.small), largeObjects(mix.largeObjects)]
  await mapConcurrently([...steps, ...others], availableParallelism(), async ({ fill, index }) => {
    signal?.throwIfAborted()
    await server.psql(session + fill + (indexes ? index : ""), name)
  })
  await server.psql("VACUUM (FREEZE, ANALYZE); CHECKPOINT;", name)
}

type Step = { readonly fill: string; readonly index: string }

/** A hash join is chosen, and the rows come in the order of their numbers, as applications write them. */
const session =
  "SET client_min_messages = warning; SET synchronous_commit = off; SET maintenance_work_mem = '128MB';\n"

/** Random by `seed` and the row number `i`: 0 to `most`, which is a power of 2 less 1. */
const random = (seed: number, most: number) => `(hashint8extended(i, ${seed}) & ${most})`

/** So many times 64 random bytes. */
const noise = (times: string) =>
  `(SELECT string_agg(sha512(int8send(hashint8extended(i, j))), '') FROM generate_series(1, ${times}) AS j)`

const sentencesMask = 32_767

/** Sentences of words that occur about as often as words do: more than a compressor's window holds. */
const sentences = `
  CREATE TEMP TABLE words AS
    SELECT i, translate(left(md5(i::text), 2 + ${random(1, 7)}::int), '0123456789', 'ghilnorstu') AS word
      FROM generate_series(0, 1023) AS i;
  CREATE TEMP TABLE sentences AS
    SELECT n, string_agg(word, ' ') AS sentence
      FROM generate_series(0, ${sentencesMask}) AS n CROSS JOIN generate_series(1, 14) AS w
      JOIN words ON i = floor(power((hashint8extended(n, w) & 65535) / 65536.0, 2) * 1024)::int
     GROUP BY n;
  ANALYZE words, sentences;`

/** The sentence `which` of row `i`, as a join. */
const sentence = (which: number) =>
  `JOIN sentences AS s${which} ON s${which}.n = ${random(100 + which, sentencesMask)}`

function documents(bytes: number): Step {
  const rows = Math.ceil(bytes / 880)
  return {
    fill: `${sentences}
      CREATE TABLE documents (id bigint, created_at timestamptz, status text, customer int, body jsonb, note text);
      INSERT INTO documents
        SELECT i, timestamptz '2024-01-01' + i * interval '3 seconds',
               (ARRAY['new', 'paid', 'sent', 'returned'])[1 + ${random(1, 3)}], ${random(2, 65_535)},
               jsonb_build_object('id', i, 'channel', 'web', 'currency', 'EUR', 'session', md5(i::text),
                 'address', jsonb_build_object('street', left(s1.sentence, 22), 'zip', ${random(3, 65_535)},
                   'country', 'DE', 'isCompany', false, 'confirmedBy', null),
                 'lines', jsonb_build_array(
                   jsonb_build_object('article', ${random(4, 8_191)}, 'amount', ${random(5, 7)}, 'unitPrice', ${random(6, 1_023)},
                     'taxRate', 0.19, 'discounts', '[]'::jsonb, 'warehouse', 'north', 'isGift', false),
                   jsonb_build_object('article', ${random(7, 8_191)}, 'amount', ${random(8, 7)}, 'unitPrice', ${random(9, 1_023)},
                     'taxRate', 0.07, 'discounts', '[]'::jsonb, 'warehouse', 'south', 'isGift', false)),
                 'consents', jsonb_build_object('newsletter', false, 'terms', '2024-01', 'tracking', false),
                 'text', s1.sentence || s2.sentence),
               s3.sentence
          FROM generate_series(1, ${rows}) AS i ${[1, 2, 3].map(sentence).join(" ")};`,
    index: `
      ALTER TABLE documents ADD PRIMARY KEY (id);
      CREATE INDEX ON documents (customer, created_at);
      CREATE INDEX ON documents (status);
      CREATE INDEX ON documents ((body ->> 'session'));`,
  }
}

function wide(bytes: number): Step {
  const rows = Math.ceil(bytes / 1_045)
  const values = Array.from({ length: 100 }, (_, n) => {
    const kinds = [
      ["int", random(n, 1_048_575)],
      ["numeric", `${random(n, 262_143)} / 100.0`],
      ["bool", `${random(n, 1)} = 1`],
      ["date", `date '2020-01-01' + ${random(n, 2_047)}::int`],
      ["text", `CASE WHEN ${random(n, 3)} > 0 THEN left(md5((i / 8 + ${n})::text), 12) END`],
    ] as const
    return kinds[n % kinds.length] ?? kinds[0]
  })
  return {
    fill: `
      CREATE TABLE wide (id bigint, ${values.map(([type], n) => `"column ${n}" ${type}`).join(", ")});
      INSERT INTO wide SELECT i, ${values.map(([, value]) => value).join(", ")} FROM generate_series(1, ${rows}) AS i;`,
    index: `
      ALTER TABLE wide ADD PRIMARY KEY (id);
      CREATE INDEX ON wide ("column 3");`,
  }
}

function narrow(bytes: number): Step {
  const accounts = Math.ceil((bytes * 0.5) / 99)
  const entries = Math.ceil((bytes * 0.5) / 43)
  return {
    fill: `
      CREATE TABLE accounts (id int, branch int, balance int, filler char(84));
      INSERT INTO accounts SELECT i, 1 + i / 100000, ${random(1, 65_535)}, '' FROM generate_series(1, ${accounts}) AS i;
      CREATE TABLE entries (id bigint, account int, amount int, booked_at timestamptz);
      INSERT INTO entries
        SELECT i, 1 + ${random(2, 2 ** 31 - 1)} % ${accounts}, ${random(3, 8_191)} - 4096,
               timestamptz '2024-01-01' + i * interval '0.7 seconds'
          FROM generate_series(1, ${entries}) AS i;`,
    index: `
      ALTER TABLE accounts ADD PRIMARY KEY (id);
      ALTER TABLE entries ADD PRIMARY KEY (id), ADD FOREIGN KEY (account) REFERENCES accounts;
      CREATE INDEX ON entries (account);
      CREATE INDEX ON entries (booked_at);`,
  }
}

function blobs(bytes: number): Step {
  const rows = Math.ceil(bytes / 16_400)
  return {
    fill: `
      CREATE TABLE blobs (id bigint, name text, content bytea);
      ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL;
      INSERT INTO blobs SELECT i, 'file ' || i, ${noise("128")} FROM generate_series(1, ${rows}) AS i;`,
    index: "ALTER TABLE blobs ADD PRIMARY KEY (id);",
  }
}

function largeObjects(bytes: number): Step {
  const times = 4_096
  const count = Math.round(bytes / (times * 64))
  return {
    fill: `SELECT count(lo_from_bytea(0, ${noise(`${times}`)})) FROM generate_series(1, ${count}) AS i;`,
    index: "",
  }
}

const smallTables = 500

function small(bytes: number): Step {
  const rows = Math.ceil(bytes / smallTables / 80)
  const table = "format('small_%s', lpad(n::text, 3, '0'))"
  const each = (statement: string) =>
    `SELECT format($$${statement}$$, ${table}) FROM generate_series(1, ${smallTables}) AS n \\gexec\n`
  return {
    fill: `
      ${each("CREATE TABLE %1$I (id int, name text, value numeric, changed_at timestamptz)")}
      ${each(`INSERT INTO %1$I SELECT i, md5(i::text), i / 7.0, timestamptz '2026-01-01' + i * interval '1 hour' FROM generate_series(1, ${rows}) AS i`)}`,
    index: each("ALTER TABLE %1$I ADD PRIMARY KEY (id)"),
  }
}
