import { readFileSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import * as tls from "node:tls"
import { makeReadable, PgstowError } from "../errors.ts"

type Environment = Readonly<Record<string, string | undefined>>

const proxyVariables = [
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
] as const

/** How requests go out: by which proxies, and whose certificates they trust. */
export type Network = {
  /** The proxies' variables, as far as they are set. */
  readonly proxies: Readonly<Record<string, string>>
  /** The authorities to trust, in PEM, where there are others than Node's own. */
  readonly authorities: readonly string[] | undefined
}

/**
 * Reads HTTPS_PROXY, HTTP_PROXY, NO_PROXY and AWS_CA_BUNDLE. Throws a usage error that names the variable which is
 * wrong, and no password.
 */
export function readNetwork(env: Environment): Network {
  const set = proxyVariables.filter((name) => (env[name] ?? "") !== "")
  const proxies = Object.fromEntries(set.map((name) => [name, env[name] ?? ""]))
  for (const name of set.filter((each) => !/^no_/i.test(each)))
    if (!URL.canParse(proxies[name] ?? "") || !/^https?:$/.test(new URL(proxies[name] ?? "").protocol))
      throw new PgstowError("usage", `${name} is no http URL`, {
        hint: `Write it like ${name}=http://proxy.example.com:3128.`,
      })
  return { proxies, authorities: readAuthorities(env.AWS_CA_BUNDLE) }
}

/** Node's own authorities stay: the bundle of a company may hold its own alone. */
function readAuthorities(file: string | undefined): string[] | undefined {
  if (!file) return undefined
  try {
    return [...tls.getCACertificates("default"), readFileSync(file, "utf8")]
  } catch (cause) {
    throw new PgstowError("usage", `the authorities in AWS_CA_BUNDLE, ${file}, can't be read`, {
      cause,
      hint: makeReadable,
    })
  }
}

/** The proxy that requests to `url` may go by, without its password; NO_PROXY is not looked at. */
export function proxyFor(url: URL, { proxies }: Network): string | undefined {
  const name = url.protocol === "https:" ? "https_proxy" : "http_proxy"
  const proxy = proxies[name] ?? proxies[name.toUpperCase()]
  return proxy === undefined ? undefined : new URL(proxy).origin
}

/** Connections that are kept, for clients of the AWS SDK. */
export function agentsFor({ proxies, authorities }: Network): {
  readonly httpAgent: http.Agent
  readonly httpsAgent: https.Agent
} {
  const options = { keepAlive: true, maxSockets: 50, proxyEnv: proxies }
  return {
    httpAgent: new http.Agent(options),
    httpsAgent: new https.Agent({ ...options, ...(authorities ? { ca: [...authorities] } : {}) }),
  }
}

/** What this process was told; nothing before that. */
let inUse: Network = { proxies: {}, authorities: undefined }

/** Makes `fetch`, and whoever asks for `agentsInUse`, go that way in all of this process. */
export function useNetwork(network: Network): void {
  const { proxies, authorities } = network
  inUse = network
  if (authorities) tls.setDefaultCACertificates([...authorities])
  if (Object.keys(proxies).length === 0) return
  // Since Node 24.14.
  if (!("setGlobalProxyFromEnv" in http))
    throw new PgstowError(
      "usage",
      `Node ${process.version} can't go by the proxy that the environment names`,
      {
        hint: "Use Node 24.14 or later.",
      },
    )
  http.setGlobalProxyFromEnv(proxies)
}

export function agentsInUse(): ReturnType<typeof agentsFor> {
  return agentsFor(inUse)
}
