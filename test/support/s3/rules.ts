import type { IncomingHttpHeaders } from "node:http"
import { S3Error } from "./s3-error.ts"

/**
 * What one service or another asks for, or lacks, beside what AWS does:
 * - `no-checksum-headers`: refuses x-amz-checksum-… and what belongs to it (R2, older MinIO, Ceph)
 * - `delete-objects-needs-md5`: DeleteObjects by Content-MD5 alone (R2, Ceph, older MinIO)
 * - `retention-needs-md5`, `retention-needs-md5-or-checksum`: a bucket with a default retention, then and now
 * - `parts-declare-checksums`: no checksum of a part whose algorithm the upload has not declared
 * - `complete-needs-checksums`: the checksum of each part again at the end, where the upload has declared one
 * - `no-delete-objects`, `no-delete-objects-by-argument`: objects go one by one (Google, as it says so now and then)
 * - `no-list-uploads`: nobody can find unfinished uploads
 * - `no-if-none-match`: 501 for it (Backblaze); `ignores-if-none-match`: writes whatever is there
 * - `equal-parts`: all parts but the last of one size (R2)
 * - `at-most-100-parts`: part numbers up to 100
 * - `no-x-id`: refuses a parameter in the query that it does not know
 */
export type Rule =
  | "no-checksum-headers"
  | "delete-objects-needs-md5"
  | "retention-needs-md5"
  | "retention-needs-md5-or-checksum"
  | "parts-declare-checksums"
  | "complete-needs-checksums"
  | "no-delete-objects"
  | "no-delete-objects-by-argument"
  | "no-list-uploads"
  | "no-if-none-match"
  | "ignores-if-none-match"
  | "equal-parts"
  | "at-most-100-parts"
  | "no-x-id"

/** Throws an S3Error where a request as such is against one of the rules. */
export function checkRules(
  rules: ReadonlySet<Rule>,
  request: {
    readonly operation: string
    readonly query: URLSearchParams
    readonly headers: IncomingHttpHeaders
  },
): void {
  const { operation, query, headers } = request
  const names = Object.keys(headers)
  const hasMd5 = names.includes("content-md5")
  const hasChecksum = names.some((name) => /^x-amz-(checksum-(?!type|algorithm|mode)|trailer)/.test(name))
  const stores = operation === "PutObject" || operation === "UploadPart"
  const refuse = (rule: Rule, when: boolean, status: number, code: string, message: string) => {
    if (rules.has(rule) && when) throw new S3Error(status, code, { message: `${message} (${rule})` })
  }

  const checksumHeader = names.find((name) => /^x-amz-(checksum-|sdk-checksum-|trailer)/.test(name))
  refuse(
    "no-checksum-headers",
    checksumHeader !== undefined,
    501,
    "NotImplemented",
    `header ${checksumHeader} is not implemented`,
  )
  refuse(
    "delete-objects-needs-md5",
    operation === "DeleteObjects" && !hasMd5,
    400,
    "InvalidRequest",
    "Missing required header for this request: Content-MD5",
  )
  refuse("retention-needs-md5", stores && !hasMd5, 400, "InvalidRequest", "Content-MD5 is required")
  refuse(
    "retention-needs-md5-or-checksum",
    stores && !hasMd5 && !hasChecksum,
    400,
    "InvalidRequest",
    "Content-MD5 OR x-amz-checksum- HTTP header is required",
  )
  refuse("no-delete-objects", operation === "DeleteObjects", 501, "NotImplemented", "POST ?delete")
  refuse(
    "no-delete-objects-by-argument",
    operation === "DeleteObjects",
    400,
    "InvalidArgument",
    "Invalid argument.",
  )
  refuse("no-list-uploads", operation === "ListMultipartUploads", 501, "NotImplemented", "?uploads")
  refuse("no-if-none-match", names.includes("if-none-match"), 501, "NotImplemented", "If-None-Match")
  refuse(
    "at-most-100-parts",
    operation === "UploadPart" && Number(query.get("partNumber")) > 100,
    400,
    "InvalidArgument",
    "Part number must be an integer between 1 and 100, inclusive",
  )
  refuse("no-x-id", query.has("x-id"), 400, "InvalidArgument", "x-id is not a parameter")
}
