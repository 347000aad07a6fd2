import * as z from "zod"
import { literal } from "../core/quote.ts"
import { QueryError } from "./conversation.ts"
import type { Session } from "./session.ts"

/** How amounts of type money are to be understood: the server's lc_monetary, and the digits of its smallest unit. */
export type Money = { readonly lcMonetary: string; readonly digits: number }

/** Every server has it. It has two digits, and the same signs on every machine. */
export const neutralLocale = "C"

/** Whether a column of any table or view holds money, itself or in a domain, an array, a range or a row. */
const holdsMoney = `
  WITH RECURSIVE of_money (type) AS (
    SELECT 'pg_catalog.money'::regtype::oid
    UNION SELECT other.oid FROM of_money, LATERAL (
      SELECT t.oid FROM pg_type t WHERE t.typelem = of_money.type OR t.typbasetype = of_money.type
      UNION ALL SELECT unnest(ARRAY[r.rngtypid, (to_jsonb(r) ->> 'rngmultitypid')::oid])
        FROM pg_range r WHERE r.rngsubtype = of_money.type
      UNION ALL SELECT c.reltype FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                 WHERE a.atttypid = of_money.type AND a.attnum > 0 AND NOT a.attisdropped) AS other
     WHERE other.oid <> 0)
  SELECT EXISTS (
    SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE a.atttypid IN (SELECT type FROM of_money) AND a.attnum > 0 AND NOT a.attisdropped
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS found`

/** `1.00` is so many of the smallest unit, which is what is stored. */
const setting = `
  SELECT current_setting('lc_monetary') AS "lcMonetary",
         round(log((('x' || encode(cash_send(1::numeric::money), 'hex'))::bit(64)::bigint)::numeric))::int AS digits`

const settingRow = z.tuple([z.object({ lcMonetary: z.string(), digits: z.int() })])

/** How the session understands amounts. */
export async function readMoneySetting(session: Session): Promise<Money> {
  return settingRow.parse(await session.query(setting))[0]
}

/** The same, where the session's database holds any. */
export async function readMoney(session: Session): Promise<Money | undefined> {
  const [{ found }] = z.tuple([z.object({ found: z.boolean() })]).parse(await session.query(holdsMoney))
  return found ? readMoneySetting(session) : undefined
}

/** How the session understands amounts under another lc_monetary, which it keeps; undefined where there is none such. */
export async function trySettingMoney(session: Session, lcMonetary: string): Promise<Money | undefined> {
  try {
    await session.execute(`SET lc_monetary TO ${literal(lcMonetary)}`)
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    return undefined
  }
  return readMoneySetting(session)
}
