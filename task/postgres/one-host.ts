import type { Connection } from "./connection.ts"

/** Whether it is up to libpq with which of several servers each session is. */
export function hasSeveralHosts({ params }: Connection): boolean {
  return [params.host, params.hostaddr].some((list) => list?.includes(","))
}

/**
 * The connection with that one of its hosts which a session has come to, so that all others come to the same: a
 * snapshot is one server's. As it is where it has one host.
 *
 * @param place host and port as libpq says them: of an address without a host, the address
 */
export function withHost(
  connection: Connection,
  { host, port }: { readonly host: string; readonly port: string },
): Connection {
  if (!hasSeveralHosts(connection)) return connection
  const { host: hosts, hostaddr: addresses, port: ports, ...others } = connection.params
  const of = (list: string | undefined, at: number) => {
    const all = list?.split(",") ?? []
    return all.length === 1 ? all[0] : all[at]
  }
  const at = (hosts ?? addresses ?? "")
    .split(",")
    .findIndex((one, index) => one === host && (of(ports, index) || "5432") === port)
  const address = of(addresses, at)
  return {
    ...connection,
    params: {
      ...others,
      ...(hosts === undefined ? {} : { host }),
      ...(address === undefined ? {} : { hostaddr: address }),
      port,
    },
  }
}
