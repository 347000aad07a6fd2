import { createHash } from "node:crypto"
import { S3Client } from "@aws-sdk/client-s3"
import type { ReportedClock } from "./reported-clock.ts"
import type { S3Settings } from "./s3-url.ts"

const connectSeconds = 10
const maxAttempts = 5
const provedByMd5 = ["PutObjectCommand", "UploadPartCommand", "DeleteObjectsCommand"]

/** What is used of a request. All of the SDK's are HTTP's. */
type HttpRequest = {
  readonly protocol: string
  readonly headers: Record<string, string>
  readonly query: Record<string, unknown>
  readonly body?: unknown
}

/** A client that speaks as AWS wants it, or so that the services which are almost S3 understand it. */
export function s3Client(settings: S3Settings, timeoutSeconds: number, clock: ReportedClock): S3Client {
  const { region, endpoint, credentials, profile, pathStyle, checksum, isAws } = settings
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    ...(profile === undefined ? {} : { profile }),
    forcePathStyle: pathStyle,
    maxAttempts,
    requestHandler: { connectionTimeout: connectSeconds * 1000, socketTimeout: timeoutSeconds * 1000 },
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
