import { PgstowError } from "../errors.ts"
import { connectionFrom } from "../postgres/connection.ts"
import type { FileSettings } from "./config.ts"

/** Throws where libpq would take the user's name for the database's: what is kept under the entry's name would be another one. */
export function refuseUnnamed({ databaseUrl }: FileSettings["values"], where: string): void {
  if (typeof databaseUrl !== "string") return
  const { params } = connectionFrom({ databaseUrl })
  if ((params.dbname ?? "") !== "" || params.service !== undefined) return
  throw new PgstowError("usage", `the connection of ${where} names no database`, {
    hint: 'Write it at the end of the URL, like postgresql://user@host/database; beside rdsSecret, as "database".',
  })
}
