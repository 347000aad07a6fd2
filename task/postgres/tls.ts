import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { makeTemporaryFolder, noTemporaryFiles } from "../processes/temporary-folder.ts"
import type { Connection, Environment } from "./connection.ts"

export type TlsOptions = {
  /** A file of authorities to trust where a server is verified, and the connection names none. */
  readonly caFile?: string | undefined
  /** The same as text, in PEM; goes before `caFile`. */
  readonly ca?: string | undefined
  /** Whether the modes that would also go without TLS, allow and prefer, mean require. */
  readonly requireTls: boolean
}

/**
 * The connection with what an image or a task says of TLS in general. PGSSLROOTCERT could not say it: where it is
 * set, libpq verifies by it under sslmode=require too. A service's file keeps its own say.
 */
export function withTls(connection: Connection, options: TlsOptions, env: Environment): Connection {
  const { params } = connection
  if (params.service !== undefined || env.PGSERVICE) return connection
  const said = params.sslmode ?? (env.PGSSLMODE || "prefer")
  const mode = options.requireTls && ["allow", "prefer"].includes(said) ? "require" : said
  const verifies = mode === "verify-ca" || mode === "verify-full"
  const named = params.sslrootcert ?? (env.PGSSLROOTCERT || undefined)
  const trusted = options.ca === undefined ? options.caFile : caFileOf(options.ca)
  return {
    ...connection,
    params: {
      ...params,
      ...(mode === said ? {} : { sslmode: mode }),
      ...(verifies && named === undefined && trusted !== undefined ? { sslrootcert: trusted } : {}),
    },
  }
}

const written = new Map<string, string>()

/** Writes certificates to a file, which is there until the program ends: libpq takes nothing else. */
function caFileOf(pem: string): string {
  const known = written.get(pem)
  if (known !== undefined) return known
  const folder = makeTemporaryFolder()
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, "ca.pem")
  try {
    writeFileSync(file, pem)
  } catch (error) {
    throw noTemporaryFiles(error)
  }
  written.set(pem, file)
  return file
}
