import { createHash } from "node:crypto"
import { S3Client } from "@aws-sdk/client-s3"
import { agentsFor } from "../processes/network.ts"
import type { ReportedClock } from "./reported-clock.ts"
import { isS3Error } from "./s3-failure.ts"
import type { S3Settings } from "./s3-url.ts"

const connectSeconds = 10
const maxAttempts = 5
const provedByMd5 = ["PutObjectCommand", "UploadPartCommand", "DeleteObjectsCommand"]

/** Files of credentials are written again by who signs in; the SDK would not look. Its types don't have this. */
const readFilesAgain = { ignoreCache: true }

/** What services say of a session that is over. */
const expired = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"]

/** What is used of a request. All of the SDK's are HTTP's. */
type HttpRequest = {
  readonly protocol: string
  readonly headers: Record<string, string>
  readonly query: Record<string, unknown>
  readonly body?: unknown
}

/** A client that speaks as AWS wants it, or so that the services which are almost S3 understand it. */
export function s3Client(settings: S3Settings, timeoutSeconds: number, clock: ReportedClock): S3Client {
  const { endpoint, credentials, profile, pathStyle, checksum, isAws, network } = settings
  const region = settings.region ?? (endpoint === undefined ? undefined : regionOf(profile))
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(profile === undefined ? {} : { profile }),
    ...readFilesAgain,
    forcePathStyle: pathStyle,
    maxAttempts,
    requestHandler: {
      connectionTimeout: connectSeconds * 1000,
      socketTimeout: timeoutSeconds * 1000,
      ...agentsFor(network),
    },
    // The SDK would make a new connection for every part.
    expectContinueHeader: false,
    // Said here, so that the environment and the configuration files say nothing else.
    requestChecksumCalculation: checksum === "crc32" ? "WHEN_SUPPORTED" : "WHEN_REQUIRED",
    // All that is read is checked by its SHA-256; the service's own checksum would cost as much again.
    responseChecksumValidation: "WHEN_REQUIRED",
  })
  client.middlewareStack.add(
    (next, { commandName = "" }) =>
      (args) => {
        // What the steps before this one have made.
        const request = args.request as HttpRequest
        // The SDK's own note of the operation, which no service needs, and some refuse.
        if (!isAws) delete request.query["x-id"]
        if (checksum === "md5") proveByMd5(request, commandName)
        leavePayloadUnsigned(request)
        return next(args)
      },
    { step: "build", priority: "low", name: "suitTheService" },
  )
  client.middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args)
      } catch (error) {
        if (credentials !== undefined || !isS3Error(error, ...expired)) throw error
        // They end when they like, in the middle of a part too, and whoever gave them may have new ones.
        await client.config.credentials({ forceRefresh: true })
        return next(args)
      }
    },
    { step: "initialize", priority: "high", name: "renewCredentials" },
  )
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      // All of the SDK's responses are HTTP's.
      const { date } = (result.response as { headers: Record<string, string> }).headers
      if (date !== undefined) clock.report(new Date(date))
      return result
    },
    { step: "deserialize", priority: "low", name: "readClock" },
  )
  return client
}

/** The region of a profile, for a service that is not AWS: most of those take any. */
function regionOf(profile: string | undefined): () => Promise<string> {
  const { config } = new S3Client(profile === undefined ? {} : { profile })
  return () => config.region().catch(() => "us-east-1")
}

/**
 * Sends Content-MD5, which every service knows, in place of the newer checksums: several refuse these, or want the
 * older one for DeleteObjects and in buckets with a retention.
 */
function proveByMd5({ headers, body }: HttpRequest, command: string): void {
  for (const name of Object.keys(headers))
    if (/^x-amz-(checksum-|sdk-checksum-|trailer)/i.test(name)) delete headers[name]
  if (provedByMd5.includes(command) && (typeof body === "string" || body instanceof Uint8Array))
    headers["content-md5"] = createHash("md5").update(body).digest("base64")
}

/**
 * By TLS nobody can change a body on its way, and its checksum is in a header that is signed: a SHA-256 of it beside
 * that would be the most that a part takes here.
 */
function leavePayloadUnsigned({ protocol, headers }: HttpRequest): void {
  const isProved = headers["x-amz-checksum-crc32"] !== undefined || headers["content-md5"] !== undefined
  if (protocol === "https:" && isProved) headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
}
