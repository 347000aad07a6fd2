import * as z from "zod"
import { literal } from "../core/quote.ts"
import { QueryError } from "./conversation.ts"
import type { Session } from "./session.ts"

/** A setting of the server; null where it has none of that name, undefined where the user may not read it. */
export async function readSetting(session: Session, name: string): Promise<string | null | undefined> {
  try {
    const rows = await session.query(`SELECT pg_catalog.current_setting(${literal(name)}, true) AS value`)
    const [row] = z.tuple([z.object({ value: z.string().nullable() })]).parse(rows)
    return row.value
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return undefined
  }
}
