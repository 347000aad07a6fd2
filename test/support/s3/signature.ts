import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { S3Error } from "./s3-error.ts"

export type SignedRequest = {
  readonly method: string
  /** As it was sent, the query included. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

const maxSkewMs = 15 * 60_000

/**
 * Checks a request's Signature Version 4, given in its Authorization header. Throws an S3Error where it is
 * missing, wrong or old. What was signed is the header x-amz-content-sha256, not yet the body.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 *
 * @param secretOf the secret of an access key; undefined where that is unknown
 */
export function verifySignature(
  request: SignedRequest,
  secretOf: (accessKeyId: string) => string | undefined,
  now: Date,
): void {
  const { headers } = request
  const fields =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? "",
    )
  if (!fields) throw new S3Error(403, "AccessDenied", { message: "the request is not signed" })
  const [, accessKeyId = "", day = "", region = "", signedHeaders = "", signature = ""] = fields

  const secret = secretOf(accessKeyId)
  if (secret === undefined) throw new S3Error(403, "InvalidAccessKeyId")
  const time = String(headers["x-amz-date"])
  if (!time.startsWith(day)) throw new S3Error(403, "SignatureDoesNotMatch")
  const sentAt = Date.parse(time.replace(/^(....)(..)(..T..)(..)(..)Z$/, "$1-$2-$3:$4:$5Z"))
  if (!(Math.abs(sentAt - now.getTime()) <= maxSkewMs)) throw new S3Error(403, "RequestTimeTooSkewed")

  for (const name of Object.keys(headers).filter(
    (header) => header === "host" || header.startsWith("x-amz-"),
  ))
    if (!signedHeaders.split(";").includes(name))
      throw new S3Error(403, "AccessDenied", { message: `header ${name} is not signed` })

  const stringToSign = [
    "AWS4-HMAC-SHA256",
    time,
    `${day}/${region}/s3/aws4_request`,
    createHash("sha256").update(canonicalRequest(request, signedHeaders)).digest("hex"),
  ].join("\n")
  let key: Buffer = Buffer.from(`AWS4${secret}`)
  for (const text of [day, region, "s3", "aws4_request", stringToSign])
    key = createHmac("sha256", key).update(text).digest()
  if (!timingSafeEqual(key, Buffer.from(signature, "hex"))) throw new S3Error(403, "SignatureDoesNotMatch")
}

function canonicalRequest({ method, url, headers }: SignedRequest, signedHeaders: string): string {
  const [path = "", query = ""] = url.split("?")
  const parameters =
    query === "" ? [] : query.split("&").map((each) => (each.includes("=") ? each : `${each}=`))
  const lines = signedHeaders.split(";").map((name) => {
    const value = headers[name]
    return `${name}:${(Array.isArray(value) ? value.join(",") : (value ?? "")).trim().replaceAll(/ +/g, " ")}\n`
  })
  return [
    method,
    path,
    parameters.toSorted().join("&"),
    lines.join(""),
    signedHeaders,
    headers["x-amz-content-sha256"],
  ].join("\n")
}
