import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import * as z from "zod"
import { type Connection, type Environment, isReachedFromHere } from "../postgres/connection.ts"
import type { Session } from "../postgres/session.ts"
import type { Finding } from "./finding.ts"

/** How a session reaches its server. */
export type Transport = {
  /** A name, an address, or the folder of a socket. */
  readonly host: string
  readonly isEncrypted: boolean
  /** Whether the certificate is checked: against an authority, and the name in it. Undefined where that is not known. */
  readonly verifies: "nothing" | "authority" | "name" | undefined
  /** The addresses that the host's name stands for, as far as they are looked up here. */
  readonly addresses: readonly string[]
  /** The certificates that the client programs here can trust without being given any more: `sslrootcert`. */
  readonly systemRoots: string
}

const transportRow = z.tuple([z.object({ host: z.string(), isEncrypted: z.boolean() })])

/** @param env what libpq's own variables are read from */
export async function readTransport(
  session: Session,
  connection: Connection,
  env: Environment,
  clientMajor: number,
): Promise<Transport> {
  const [{ host, isEncrypted }] = transportRow.parse(
    await session.query(
      `SELECT :'HOST' AS host,
              coalesce((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()), false) AS "isEncrypted"`,
    ),
  )
  const { params } = connection
  const isByService = params.service !== undefined && params.sslmode === undefined
  return {
    host,
    isEncrypted,
    verifies: isByService ? undefined : verifiedBy(params, env),
    addresses: isReachedFromHere(connection) ? await addressesOf(host) : [],
    // libpq has known "system" since PostgreSQL 16; this is Debian's file of the same.
    systemRoots: clientMajor >= 16 ? "system" : "/etc/ssl/certs/ca-certificates.crt",
  }
}

/** With certificates to trust, `require` verifies as verify-ca does. PostgreSQL documentation, 32.19.1. */
function verifiedBy(params: Connection["params"], env: Environment): Transport["verifies"] {
  const mode = params.sslmode ?? env.PGSSLMODE ?? "prefer"
  const roots = params.sslrootcert ?? env.PGSSLROOTCERT
  if (mode === "verify-full" || roots === "system") return "name"
  if (mode === "verify-ca" || (mode === "require" && roots)) return "authority"
  return "nothing"
}

/** The addresses of a host; none where it has no name, or none that is known here. */
export async function addressesOf(host: string): Promise<string[]> {
  if (isSocket(host)) return []
  if (isIP(host) !== 0) return [host]
  const found = await lookup(host, { all: true }).catch(() => [])
  return found.map(({ address }) => address)
}

function isSocket(host: string): boolean {
  return host === "" || /^[/@]/.test(host)
}

/** Whether nobody else sees what goes between here and there. */
export function isOnThisMachine(host: string): boolean {
  return isSocket(host) || host === "localhost" || host === "::1" || host.startsWith("127.")
}

export function transportFindings(transport: Transport): Finding[] {
  return [...tlsFindings(transport), ...addressFindings(transport)]
}

function tlsFindings({ host, isEncrypted, verifies, systemRoots }: Transport): Finding[] {
  if (isOnThisMachine(host)) return []
  if (!isEncrypted)
    return [
      {
        check: "source.tls",
        severity: "warning",
        subject: host,
        what: "the connection is not encrypted",
        why: "Whoever is on the way between here and the server reads every row, and the password's proof.",
        fix: `--sslmode verify-full --sslrootcert ${systemRoots}`,
      },
    ]
  if (verifies === "name" || verifies === undefined) return []
  return [
    {
      check: "source.tls-verification",
      severity: "warning",
      subject: host,
      what:
        verifies === "nothing"
          ? "the connection is encrypted, and the server's certificate is not verified"
          : "the server's certificate is verified, but not the name in it",
      why: "Anyone on the network path can pose as the server. Hosted services publish the authority to trust: give its file if the system does not trust it already.",
      fix: `--sslmode verify-full --sslrootcert ${systemRoots}`,
    },
  ]
}

/** Also where there is no connection: then it is likely to be why. */
export function addressFindings({ host, addresses }: Pick<Transport, "host" | "addresses">): Finding[] {
  if (addresses.length === 0 || addresses.some((address) => isIP(address) === 4)) return []
  return [
    {
      check: "source.ipv6",
      severity: "notice",
      subject: host,
      what: `the host has IPv6 addresses alone: ${addresses.join(", ")}`,
      why: "Machines without IPv6 can't reach it: runners of GitHub Actions, most containers, many networks.",
      fix: "the host of the provider's pooler in session mode, or its IPv4 add-on, in DATABASE_URL",
    },
  ]
}
