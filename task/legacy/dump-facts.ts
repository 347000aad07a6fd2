/** What a plain dump says of itself. */
export type DumpFacts = {
  /** "15.18"; "" where it does not say. */
  readonly serverVersion: string
  readonly clientVersion: string
  /** The encoding of its text, most often the database's own. */
  readonly encoding: string
}

/** What a plain dump says nothing of. */
export const unknownSource = {
  localeProvider: "",
  collate: "",
  ctype: "",
  locale: null,
  icuRules: null,
  settings: [],
  roles: [],
  extensions: [],
}

/** How much of a dump to read for its facts. */
export const factsBytes = 8 * 1024

/** @param head the first `factsBytes` of the dump */
export function dumpFacts(head: Buffer): DumpFacts {
  const text = head.toString("latin1")
  const find = (pattern: RegExp) => pattern.exec(text)?.[1] ?? ""
  return {
    serverVersion: find(/^-- Dumped from database version (\S+)/m),
    clientVersion: find(/^-- Dumped by pg_dump version (\S+)/m),
    encoding: find(/^SET client_encoding = '([^']*)';/m),
  }
}

/** Passes a dump on, and counts the tables that it makes, by the comments that pg_dump puts before each. */
export async function* countTables(
  dump: AsyncIterable<Buffer>,
  count: { tables: number },
): AsyncGenerator<Buffer> {
  let line = ""
  for await (const chunk of dump) {
    const text = line + chunk.toString("latin1")
    const end = Math.max(0, text.lastIndexOf("\n"))
    count.tables += text.slice(0, end).match(/\n-- Name: [^\n]*; Type: TABLE; /g)?.length ?? 0
    // Of a line that goes on, its beginning is enough.
    line = text.slice(end).slice(0, 1024)
    yield chunk
  }
}
