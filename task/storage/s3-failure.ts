import { readFileSync } from "node:fs"
import { S3ServiceException } from "@aws-sdk/client-s3"
import { codeOf, PgstowError } from "../errors.ts"
import { NoListError } from "./s3-pages.ts"

/** What is wrong, and what to do. */
type Reason = readonly [reason: string, hint: string]

export type S3Place = {
  readonly url: string
  readonly bucket: string
  readonly endpoint: string | undefined
  readonly profile: string | undefined
  /** AWS's configuration files, in which profiles are. */
  readonly configFiles: readonly string[]
  /** What its requests go by, without a password; undefined where they go straight. */
  readonly proxy: string | undefined
}

/** Says what failed, why, and what to do. Passes on what says so already. */
export function s3Failure(place: S3Place, action: string, cause: unknown): unknown {
  if (cause instanceof PgstowError || !(cause instanceof Error)) return cause
  const [reason, hint] = reasonOf(place, cause)
  const message = `cannot ${action} in ${place.url}: ${reason}`
  // What the SDK says of a time limit names parts of its own.
  return new PgstowError("storage", message, cause.name === "TimeoutError" ? { hint } : { cause, hint })
}

/** Why one object of several could not be removed, and what to do. */
export function removalReason(
  place: S3Place,
  code: string,
  message: string,
): { readonly reason: string; readonly hint: string } {
  const [reason, hint] = reasonOf(place, Object.assign(new Error(message), { name: code }))
  return { reason, hint }
}

/** Whether S3 answered with one of these error codes or statuses. */
export function isS3Error(error: unknown, ...codes: (string | number)[]): error is S3ServiceException {
  if (!(error instanceof S3ServiceException)) return false
  return codes.some((code) => code === error.name || code === error.$metadata.httpStatusCode)
}

function reasonOf(place: S3Place, error: Error): Reason {
  const elsewhere = redirectOf(place, error)
  if (elsewhere !== undefined)
    return [
      `${place.endpoint} redirects to ${elsewhere}`,
      `Give endpoint=${elsewhere} in the storage's URL, if that is the S3 service.`,
    ]
  const otherRegion = regionOf(error)
  if (otherRegion !== undefined)
    return [
      `the bucket is in another region${otherRegion === "" ? "" : `, ${otherRegion}`}`,
      `Add region=${otherRegion || "…"} to the storage's URL.`,
    ]
  const server = place.endpoint ?? "AWS"
  const ofProxy = proxyReason(place.proxy, server, error)
  if (ofProxy) return ofProxy
  const ofCredentials = missingCredentials(place, error)
  if (ofCredentials) return ofCredentials
  const known = {
    ...connectionReasons(server),
    ...credentialReasons,
    ...bucketReasons(place.bucket, server),
  }
  if (isLocked(error)) return lockedReason
  for (const code of codesOf(error)) {
    const reason = known[code]
    if (reason) return reason
  }
  const notTheService =
    "Check that the endpoint in the storage's URL is that of the S3 service, not of its console, and what lies between."
  if (error.message.includes("Deserialization error"))
    return [`${server} does not answer like an S3 service`, notTheService]
  if (error instanceof NoListError)
    return [`${server} does not answer like an S3 service: ${error.message}`, notTheService]
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
  return [
    `${error.name}${error.message === "" || error.message === error.name ? "" : `: ${error.message}`}`,
    status !== undefined && status >= 500
      ? "The service has a fault of its own; try again later."
      : "Check the storage's URL and the service's own log.",
  ]
}

/** Whether the service refuses to remove an object before its time. Only its words tell that from a missing right. */
function isLocked({ name, message }: Error): boolean {
  return name === "ObjectLocked" || /object lock|WORM[ -]protected/i.test(message)
}

const lockedReason: Reason = [
  "protected by Object Lock",
  "Wait until the retention or legal hold has ended: until then the service keeps it.",
]

/** What names the fault: the operating system's codes first, since the SDK calls most of them time-outs. */
function codesOf(error: Error): string[] {
  const codes: string[] = []
  const names: string[] = []
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    codes.push(codeOf(cause) ?? "")
    names.push(cause.name, cause.message)
  }
  const status = error instanceof S3ServiceException ? [String(error.$metadata.httpStatusCode)] : []
  return [...codes.filter((code) => code !== ""), ...names, ...status]
}

/** Where an endpoint that is not AWS's sends everybody, such as to HTTPS: S3's own redirects have a code of their own. */
function redirectOf({ endpoint }: S3Place, error: Error): string | undefined {
  if (endpoint === undefined || !(error instanceof S3ServiceException)) return undefined
  const { location, "x-amz-bucket-region": region } = error.$response?.headers ?? {}
  if (location === undefined || region !== undefined || /Redirect/.test(error.name)) return undefined
  if (![301, 302, 303, 307, 308].includes(error.$metadata.httpStatusCode ?? 0)) return undefined
  const target = URL.parse(location, endpoint)
  return target === null || target.origin === new URL(endpoint).origin ? undefined : target.origin
}

/** The region that the bucket is in, where that is what is wrong; "" where the answer does not name it. */
function regionOf(error: Error): string | undefined {
  if (!(error instanceof S3ServiceException)) return undefined
  const named = error.$response?.headers["x-amz-bucket-region"]
  const elsewhere =
    ["PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"].includes(error.name) ||
    [301, 307].includes(error.$metadata.httpStatusCode ?? 0)
  if (elsewhere) return named ?? ""
  if (error.name === "InvalidRegionName") return named ?? (/\bauto\b/.test(error.message) ? "auto" : "")
  if (error.name !== "AuthorizationHeaderMalformed") return undefined
  return named ?? /(?:expecting '|expected: \d+\/)([a-z0-9-]+)/.exec(error.message)?.[1]
}

/** What went wrong on the way through a proxy, where it was there. */
function proxyReason(proxy: string | undefined, server: string, error: Error): Reason | undefined {
  if (proxy === undefined) return undefined
  const hint = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment."
  const { port, hostname } = new URL(proxy)
  if (codeOf(error) === "ERR_PROXY_TUNNEL")
    return [`the proxy ${proxy} refuses to connect to ${server}`, hint]
  if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 407)
    return [`the proxy ${proxy} wants a user and a password`, hint]
  const toProxy =
    ("port" in error && error.port === Number(port)) || ("hostname" in error && error.hostname === hostname)
  if (!toProxy) return undefined
  const known = connectionReasons(`the proxy ${proxy}`)[codeOf(error) ?? ""]
  return known && [known[0], hint]
}

/** Why the SDK found no credentials. Of a profile: whether there is one, and the one command where it has to be signed in. */
function missingCredentials({ profile, configFiles }: S3Place, error: Error): Reason | undefined {
  if (!["CredentialsProviderError", "TokenProviderError"].includes(error.name)) return undefined
  const which = profile === undefined ? "" : ` --profile ${profile}`
  const ofProfile = profile === undefined ? "" : ` of the AWS profile ${profile}`
  if (/\bSSO\b/i.test(error.message) && /expired|invalid|not found|login/i.test(error.message))
    return [`the SSO session${ofProfile} has expired`, `Run aws sso login${which}, then run this again.`]
  if (/\baws login\b/.test(error.message))
    return [`the session${ofProfile} has expired`, `Run aws login${which}, then run this again.`]
  if (profile === undefined) return undefined
  const profiles = profilesIn(configFiles)
  if (profiles.includes(profile))
    return [
      `the AWS profile ${profile} has no credentials that can be used`,
      `Look at it in ${configFiles.join(" and ")}.`,
    ]
  return [
    `there is no AWS profile ${profile}`,
    profiles.length === 0
      ? `Correct the name, or add it: there are none in ${configFiles.join(" or ")}.`
      : `Correct the name, or add it: there are ${profiles.join(", ")}.`,
  ]
}

function profilesIn(files: readonly string[]): string[] {
  const names = files.flatMap((file) => {
    try {
      const sections = readFileSync(file, "utf8").matchAll(/^\s*\[\s*(?:profile\s+)?([^\s\]]+)\s*\]/gm)
      return [...sections].map(([, name = ""]) => name)
    } catch {
      return []
    }
  })
  return [...new Set(names)].toSorted()
}

function connectionReasons(server: string): Record<string, Reason> {
  const checkEndpoint = "Check the endpoint in the storage's URL, and the network."
  const certificate: Reason = [
    `the certificate of ${server} can't be verified`,
    "Give its authority's certificate by AWS_CA_BUNDLE=/path/to/ca.pem, or NODE_EXTRA_CA_CERTS.",
  ]
  return {
    ECONNREFUSED: [`${server} refuses connections`, "Check that it is running, and its port."],
    ENOTFOUND: [`${server} has no address`, checkEndpoint],
    EAI_AGAIN: [`the name of ${server} can't be looked up now`, "Check the network's name service."],
    EHOSTUNREACH: [`${server} can't be reached`, checkEndpoint],
    ENETUNREACH: [`${server} can't be reached`, checkEndpoint],
    ECONNRESET: [`${server} broke the connection`, "Try again; check the service's log if it stays so."],
    EPIPE: [`${server} broke the connection`, "Try again; check the service's log if it stays so."],
    ETIMEDOUT: [`${server} does not answer`, checkEndpoint],
    TimeoutError: [`${server} does not answer`, checkEndpoint],
    AbortError: ["it was given up", "Look for what failed before."],
    EPROTO: [`${server} does not speak TLS`, "Write http:// in the endpoint if it is meant to go without."],
    HPE_INVALID_CONSTANT: [`${server} does not speak HTTP`, checkEndpoint],
    DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
    SELF_SIGNED_CERT_IN_CHAIN: certificate,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
    CERT_HAS_EXPIRED: [`the certificate of ${server} has expired`, "Renew it there."],
    ERR_TLS_CERT_ALTNAME_INVALID: [`the certificate of ${server} is for another name`, checkEndpoint],
  }
}

const signIn: Reason = ["the session's credentials have expired", "Sign in again, then run this again."]
const beingWritten: Reason = ["another writer keeps writing it", "Find out who else writes there."]
const changed: Reason = [
  "what arrived is not what was sent (BadDigest)",
  "Try again; where it happens again, look for what changes data between here and the service.",
]
const noAccess: Reason = [
  "access denied",
  "Check that these credentials are the right ones, and what they are allowed in this bucket.",
]

const credentialReasons: Record<string, Reason> = {
  CredentialsProviderError: [
    "there are no credentials for it",
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or add profile=NAME or credentials=NAME to the URL.",
  ],
  InvalidAccessKeyId: ["the access key is not known there", "Check the access key and the endpoint."],
  SignatureDoesNotMatch: ["the secret key is wrong", "Check that it belongs to this access key."],
  ExpiredToken: signIn,
  ExpiredTokenException: signIn,
  TokenRefreshRequired: signIn,
  InvalidToken: ["the session token is wrong", "Check that it belongs to this access key."],
  RequestTimeTooSkewed: ["this machine's clock is wrong", "Set it by NTP."],
  AccessDenied: noAccess,
  AllAccessDisabled: noAccess,
  AccountProblem: noAccess,
  403: noAccess,
  "Region is missing": ["no region is given", "Add region=NAME to the URL, or set AWS_REGION."],
}

function bucketReasons(bucket: string, server: string): Record<string, Reason> {
  return {
    NoSuchBucket: [
      `${server} has no bucket ${bucket}`,
      "Create it, or correct its name in the storage's URL.",
    ],
    InvalidBucketName: [`${bucket} is no name for a bucket`, "Correct its name in the storage's URL."],
    InvalidStorageClass: [
      "the storage class is not known there",
      "Correct or leave out storage-class in the storage's URL.",
    ],
    BadDigest: changed,
    XAmzContentSHA256Mismatch: changed,
    ConditionalRequestConflict: beingWritten,
    OperationAborted: beingWritten,
    InvalidObjectState: ["the object is in an archive", "Ask for it with aws s3api restore-object first."],
    KMSKeyNotFound: ["the KMS key does not exist", "Correct sse-kms-key in the storage's URL."],
    "KMS.NotFoundException": ["the KMS key does not exist", "Correct sse-kms-key in the storage's URL."],
    "KMS.DisabledException": ["the KMS key is disabled", "Enable it, or name another in the storage's URL."],
    NoSuchUpload: ["the upload was ended by someone else", "Check what cleans up that bucket."],
    EntityTooLarge: ["the object is larger than is allowed there", "Give a storage for larger objects."],
    EntityTooSmall: ["a part is smaller than is allowed there", "Please report this as a fault of pgstow's."],
    QuotaExceeded: ["the quota is used up", "Free some space there, or give another storage."],
    XMinioStorageFull: ["its disks are full", "Free some space there, or give another storage."],
    507: ["its disks are full", "Free some space there, or give another storage."],
    SlowDown: ["it asks to slow down, again and again", "Try again later, or with fewer jobs."],
    503: ["it is overloaded", "Try again later."],
    NotImplemented: [
      "the service lacks something that pgstow needs",
      "Use a service that knows conditional writes (If-None-Match) and multipart uploads.",
    ],
  }
}
