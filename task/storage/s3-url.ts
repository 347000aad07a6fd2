import { homedir } from "node:os"
import { join } from "node:path"
import type { StorageClass } from "@aws-sdk/client-s3"
import { PgstowError } from "../errors.ts"
import { type Network, proxyFor, readNetwork } from "../processes/network.ts"

export type Environment = Readonly<Record<string, string | undefined>>

/** What an S3 storage is opened with. */
export type S3Settings = {
  /** The bucket, the prefix and the endpoint: what tells this storage from others. */
  readonly url: string
  readonly bucket: string
  /** "", or what every key begins with, its "/" included. */
  readonly prefix: string
  /** Undefined for AWS. */
  readonly endpoint: string | undefined
  /** Whether the service is AWS's own, by whatever endpoint. */
  readonly isAws: boolean
  /** What a request proves its body by. */
  readonly checksum: "crc32" | "md5"
  /** Undefined where the SDK is to look for it in the profile. */
  readonly region: string | undefined
  readonly pathStyle: boolean
  readonly storageClass: StorageClass | undefined
  readonly kmsKey: string | undefined
  readonly maxParts: number
  /** How large the parts of an object are to be at least; undefined where nothing is said. */
  readonly partBytes: number | undefined
  /** Every object is written only where there is none of its key yet, whoever asks. */
  readonly writeOnce: boolean
  readonly profile: string | undefined
  /** AWS's configuration files. */
  readonly configFiles: readonly string[]
  readonly network: Network
  /** What requests may go by, without a password. */
  readonly proxy: string | undefined
  /** Undefined where the SDK's default chain is to find them. */
  readonly credentials: S3Credentials | undefined
}

export type S3Credentials = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const example = "s3://my-bucket/backups"
const parameters = [
  "endpoint",
  "region",
  "path-style",
  "storage-class",
  "sse-kms-key",
  "checksum",
  "max-parts",
  "part-size",
  "write-once",
  "profile",
  "credentials",
]
/** Objects of these classes can't be read before somebody has asked for them, hours ahead. */
const offlineClasses = ["GLACIER", "DEEP_ARCHIVE"]

/**
 * Reads `s3://bucket/prefix?parameters`, with what it leaves out taken from AWS's own environment variables.
 * Throws a PgstowError of kind "usage" that names what is wrong, and never repeats what may be a secret.
 */
export function parseS3Url(text: string, env: Environment): S3Settings {
  if (!URL.canParse(text)) throw usage("the storage's URL can't be read", `Write it like ${example}.`)
  const url = new URL(text)
  if (url.username !== "" || url.password !== "")
    throw usage(
      `the URL of s3://${url.hostname} holds a user name or password`,
      `Write ${example}?credentials=NAME and set NAME_ACCESS_KEY and NAME_SECRET_KEY in the environment.`,
    )
  const bucket = url.hostname
  const fail = (what: string, hint: string) => usage(`s3://${bucket}: ${what}`, hint)
  if (bucket === "") throw fail("the URL names no bucket", `Write the bucket after s3://, like ${example}.`)
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket)) {
    const what = bucket.length < 3 ? "too short for a bucket's name" : "not a bucket's name"
    throw fail(
      `"${bucket}" is ${what}`,
      "A bucket's name has at least 3 letters, digits, dots, underscores and hyphens, and begins and ends with one of the first two.",
    )
  }
  if (url.port !== "")
    throw fail(
      "a bucket has no port",
      `Give the server as a parameter: ${example}?endpoint=http://127.0.0.1:9000.`,
    )
  if (url.hash !== "") throw fail('"#" has no meaning here', 'Write it as "%23".')

  const given = readParameters(url.searchParams, fail)
  const endpoint = readEndpoint(given("endpoint") ?? env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL, fail)
  const isAws = endpoint === undefined || isAwsHost(new URL(endpoint).hostname)
  const prefix = readPrefix(url.pathname, fail)
  const network = readNetwork(env)
  const profile = given("profile") ?? env.AWS_PROFILE
  const credentials = given("credentials")
  if (given("profile") !== undefined && credentials !== undefined)
    throw fail("profile and credentials exclude each other", "Leave one of them out.")

  return {
    url: urlOf({ bucket, prefix, endpoint }),
    bucket,
    prefix,
    endpoint,
    isAws,
    checksum: readChecksum(given("checksum"), fail) ?? (isAws ? "crc32" : "md5"),
    region:
      given("region") ??
      env.AWS_REGION ??
      env.AWS_DEFAULT_REGION ??
      (endpoint && (profile === undefined || credentials !== undefined) ? "us-east-1" : undefined),
    pathStyle: readSwitch("path-style", given("path-style"), fail) ?? endpoint !== undefined,
    storageClass: readStorageClass(given("storage-class"), fail),
    kmsKey: given("sse-kms-key"),
    maxParts: readMaxParts(given("max-parts"), fail),
    partBytes: readPartSize(given("part-size"), fail),
    writeOnce: readSwitch("write-once", given("write-once"), fail) ?? false,
    profile: credentials === undefined ? profile : undefined,
    configFiles: [
      env.AWS_CONFIG_FILE ?? join(env.HOME ?? homedir(), ".aws", "config"),
      env.AWS_SHARED_CREDENTIALS_FILE ?? join(env.HOME ?? homedir(), ".aws", "credentials"),
    ],
    network,
    proxy: proxyFor(new URL(endpoint ?? "https://s3.amazonaws.com"), network),
    credentials:
      credentials === undefined
        ? profile === undefined
          ? defaultCredentials(env)
          : undefined
        : namedCredentials(credentials, env, fail),
  }
}

function urlOf({ bucket, prefix, endpoint }: Pick<S3Settings, "bucket" | "prefix" | "endpoint">): string {
  return `s3://${bucket}/${prefix}`.replace(/\/$/, "") + (endpoint ? `?endpoint=${endpoint}` : "")
}

/** The same with a prefix that is one folder shorter; undefined where there is none to leave out. */
export function withShorterPrefix(settings: S3Settings): S3Settings | undefined {
  if (settings.prefix === "") return undefined
  const shorter = { ...settings, prefix: settings.prefix.replace(/[^/]+\/$/, "") }
  return { ...shorter, url: urlOf(shorter) }
}

type Fail = (what: string, hint: string) => PgstowError

function usage(what: string, hint: string): PgstowError {
  return new PgstowError("usage", what, { hint })
}

function readParameters(search: URLSearchParams, fail: Fail): (name: string) => string | undefined {
  for (const [name, value] of search) {
    if (!parameters.includes(name))
      throw fail(`unknown parameter ${JSON.stringify(name)}`, `There are ${parameters.join(", ")}.`)
    if (search.getAll(name).length > 1) throw fail(`${name} is given twice`, "Leave one of them out.")
    if (value === "") throw fail(`${name} is empty`, "Give it a value, or leave it out.")
  }
  return (name) => search.get(name) ?? undefined
}

function readEndpoint(endpoint: string | undefined, fail: Fail): string | undefined {
  if (endpoint === undefined || endpoint === "") return undefined
  const hint = "Write it like endpoint=http://127.0.0.1:9000 or endpoint=https://s3.example.com."
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (!url || !["http:", "https:"].includes(url.protocol)) throw fail("the endpoint is not an http URL", hint)
  if (url.username !== "" || url.password !== "")
    throw fail(
      "the endpoint holds a user name or password",
      "Use credentials=NAME, and set NAME_ACCESS_KEY and NAME_SECRET_KEY in the environment.",
    )
  if (url.search !== "" || url.hash !== "") throw fail("the endpoint has parameters of its own", hint)
  return url.href.replace(/\/$/, "")
}

function readPrefix(path: string, fail: Fail): string {
  const hint = `Write it like ${example}.`
  let prefix: string
  try {
    prefix = decodeURIComponent(path).replace(/^\//, "").replace(/\/$/, "")
  } catch {
    throw fail('the prefix has a "%" that stands for nothing', 'Write "%25" for a percent sign.')
  }
  if (prefix === "") return ""
  if (prefix.split("/").some((segment) => segment === "" || segment === "." || segment === ".."))
    throw fail("the prefix has an empty folder, or one named . or ..", hint)
  if (/\p{Cc}/u.test(prefix)) throw fail("the prefix has control characters", hint)
  if (Buffer.byteLength(prefix) > 120) throw fail("the prefix is longer than 120 bytes", hint)
  return `${prefix}/`
}

function readStorageClass(value: string | undefined, fail: Fail): StorageClass | undefined {
  if (value === undefined) return undefined
  if (offlineClasses.includes(value))
    throw fail(
      `storage-class ${value} can't be read back when it is needed`,
      "Use GLACIER_IR, or a lifecycle rule of the bucket's.",
    )
  // Services other than AWS have classes of their own; whether this is one, only the service knows.
  return value as StorageClass
}

function readSwitch(name: string, value: string | undefined, fail: Fail): boolean | undefined {
  if (value === undefined) return undefined
  if (value === "true" || value === "false") return value === "true"
  throw fail(`${name} is ${JSON.stringify(value)}`, `Write ${name}=true or ${name}=false.`)
}

/** A region's endpoint, or one in a network of its own (vpce), in any of AWS's partitions. */
function isAwsHost(host: string): boolean {
  return /\.(amazonaws\.com(\.cn)?|api\.aws)$/.test(host)
}

function readChecksum(value: string | undefined, fail: Fail): "crc32" | "md5" | undefined {
  if (value === undefined || value === "crc32" || value === "md5") return value
  throw fail(`checksum is ${JSON.stringify(value)}`, "Write checksum=md5 or checksum=crc32.")
}

function readMaxParts(value: string | undefined, fail: Fail): number {
  if (value === undefined) return 10_000
  const parts = Number(value)
  if (Number.isInteger(parts) && parts >= 1 && parts <= 10_000) return parts
  throw fail(`max-parts is ${JSON.stringify(value)}`, "Write a number from 1 to 10000, like max-parts=1000.")
}

function readPartSize(value: string | undefined, fail: Fail): number | undefined {
  if (value === undefined) return undefined
  const mebibytes = Number(value)
  if (Number.isInteger(mebibytes) && mebibytes >= 8 && mebibytes <= 5120) return mebibytes * 1024 ** 2
  throw fail(
    `part-size is ${JSON.stringify(value)}`,
    "Write a number of MiB from 8 to 5120, like part-size=64.",
  )
}

/** NAME_ACCESS_KEY, NAME_SECRET_KEY and, where it is set, NAME_SESSION_TOKEN. */
function namedCredentials(name: string, env: Environment, fail: Fail): S3Credentials {
  if (!/^[A-Z][A-Z0-9_]*$/.test(name))
    throw fail(
      "credentials is not a name of capital letters",
      "Write credentials=NAME, and set NAME_ACCESS_KEY and NAME_SECRET_KEY in the environment.",
    )
  const accessKeyId = env[`${name}_ACCESS_KEY`]
  const secretAccessKey = env[`${name}_SECRET_KEY`]
  if (!accessKeyId || !secretAccessKey)
    throw fail(
      `credentials=${name}, but ${name}_${accessKeyId ? "SECRET" : "ACCESS"}_KEY is not set`,
      `Set ${name}_ACCESS_KEY and ${name}_SECRET_KEY in the environment.`,
    )
  return withToken(accessKeyId, secretAccessKey, env[`${name}_SESSION_TOKEN`])
}

/** What the SDK's default chain takes first. Read here since `env` may hold more than the process's own. */
function defaultCredentials(env: Environment): S3Credentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env
  if (!accessKeyId || !secretAccessKey) return undefined
  return withToken(accessKeyId, secretAccessKey, env.AWS_SESSION_TOKEN)
}

function withToken(accessKeyId: string, secretAccessKey: string, token: string | undefined): S3Credentials {
  return { accessKeyId, secretAccessKey, ...(token ? { sessionToken: token } : {}) }
}
