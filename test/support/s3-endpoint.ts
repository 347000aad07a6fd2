import { randomBytes } from "node:crypto"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { type Fault, faultyBody, firstHalf, flipped } from "./s3/fault.ts"
import { type Answer, carryOut, type Operation, operationOf, type Service } from "./s3/operations.ts"
import { bodyOf } from "./s3/request-body.ts"
import { checkRules, type Rule } from "./s3/rules.ts"
import { S3Error } from "./s3/s3-error.ts"
import { verifySignature } from "./s3/signature.ts"
import { findVersion, newBucket } from "./s3/store.ts"
import { formatXml } from "./s3/xml.ts"
import { selfSignedCertificate } from "./self-signed-certificate.ts"

export type S3EndpointOptions = {
  /** Where the bytes of objects are kept. By default a folder that `close` removes. */
  readonly folder?: string
  /** Buckets that are there from the beginning. */
  readonly buckets?: readonly string[]
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  /** Speaks https, by a self-signed certificate of its own. */
  readonly tls?: boolean
  /** What its URL has after the host: "/storage/v1/s3". */
  readonly path?: string
  /** What it asks for, or lacks, as services do that are not AWS. */
  readonly rules?: readonly Rule[]
}

/** A request that has come, by its operation. */
export type SeenRequest = {
  readonly operation: Operation
  readonly bucket: string
  readonly key: string
  /** Of a list: what the keys begin with. */
  readonly prefix: string
  readonly headers: IncomingHttpHeaders
}

/** Says what is to go wrong with a request, if anything is. */
export type Inject = (request: SeenRequest) => Fault | undefined

export type S3Endpoint = {
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** The certificate to trust, in PEM; undefined without TLS. */
  readonly certificate: string | undefined
  /** All requests so far whose signature was right, in the order in which they came. */
  readonly requests: readonly SeenRequest[]
  /** The files that hold the bytes of an object, one after another: to damage them. */
  filesOf(bucket: string, key: string): string[]
  /** The headers that an object was stored with. */
  headersOf(bucket: string, key: string): Readonly<Record<string, string>>
  /** Uploads begun and neither completed nor aborted, as "bucket/key". */
  openUploads(): string[]
  /** The rules, to add to and to take from. */
  readonly rules: Set<Rule>
  /** Refuses from now on to remove an object. */
  lock(bucket: string, key: string): void
  /** Keeps what is removed from a bucket from now on as older versions. */
  keepVersions(bucket: string): void
  /** Takes no access key, or secret, but these from now on: with a token, only with that one. */
  setKeys(keys: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }): void
  /** Makes requests go wrong from now on; without an argument, none. */
  inject(inject?: Inject): void
  /** Sets the service's clock so many minutes ahead of this machine's, in its answers and in what it takes. */
  setAhead(minutes: number): void
  close(): Promise<void>
}

/**
 * Starts an S3 service on a free loopback port, for tests and demonstrations. It keeps what S3 promises as far
 * as pgstow builds on it: signatures, checksums and trailers are verified, conditional writes are atomic,
 * uploads are of parts of at least 5 MiB, and a body is stored whole or not at all. Bytes go to files as they
 * come; what they belong to is kept in memory, and gone after `close`.
 */
export async function startS3Endpoint(options: S3EndpointOptions = {}): Promise<S3Endpoint> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "pgstow-s3-")))
  await mkdir(folder, { recursive: true })
  const accessKeyId = options.accessKeyId ?? "pgstow-test"
  const secretAccessKey = options.secretAccessKey ?? randomBytes(20).toString("hex")
  const service: Service = { folder, buckets: new Map(), rules: new Set(options.rules) }
  for (const name of options.buckets ?? []) service.buckets.set(name, newBucket(name))

  const path = options.path ?? ""
  const requests: SeenRequest[] = []
  let injected: Inject | undefined
  let aheadMs = 0
  let keys: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } = {
    accessKeyId,
    secretAccessKey,
  }
  const secretOf = (id: string) => (id === keys.accessKeyId ? keys.secretAccessKey : undefined)

  const listener: RequestListener = (request, response) => {
    // Only a connection that is gone ends here: by a fault, or by the client.
    answer(request, response).catch(() => response.destroy())
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "/", headers, socket } = request
    const now = new Date(Date.now() + aheadMs)
    response.setHeader("date", now.toUTCString())
    try {
      verifySignature({ method, url, headers }, secretOf, now)
      const { pathname, searchParams: query } = new URL(url, "http://endpoint")
      if (!pathname.startsWith(path)) throw new S3Error(404, "NoSuchKey", { message: "nothing is here" })
      const [, bucket = "", key = ""] =
        /^\/([^/]*)\/?(.*)$/s.exec(decodeURIComponent(pathname.slice(path.length))) ?? []
      const operation = operationOf(method, key, query)
      if (!operation) throw new S3Error(501, "NotImplemented", { message: `${method} ${url}` })
      const seen = { operation, bucket, key, prefix: query.get("prefix") ?? "", headers }
      requests.push(seen)

      const fault = injected?.(seen)
      if (fault === "refuse") return void socket.destroy()
      if (fault === "hang") return await drain(request)
      if (typeof fault === "object" && "status" in fault) throw new S3Error(fault.status, fault.code, fault)
      if (typeof fault === "object" && "answer" in fault) {
        await drain(request)
        return await send(response, { body: fault.answer })
      }
      if (fault === "swallow") {
        await drain(request)
        return await send(response, { headers: { etag: '"swallowed"' } })
      }
      if (keys.sessionToken !== undefined && headers["x-amz-security-token"] !== keys.sessionToken)
        throw new S3Error(400, "ExpiredToken", { message: "The provided token has expired." })
      checkRules(service.rules, { ...seen, query })
      const sent = request.iterator({ destroyOnReturn: false })
      const bytes = fault === "flip" ? flipped(sent) : sent
      const body = bodyOf(headers, faultyBody(fault, bytes, Number(headers["content-length"] ?? 0), socket))
      const result = await carryOut(service, {
        ...seen,
        query,
        headers: fault === "whole" ? { ...headers, range: undefined } : headers,
        body: fault === "truncate" ? firstHalf(body) : body,
      })
      // Whatever the operation has not read of its body is checked all the same.
      for await (const _ of body);
      if (fault === "lose-answer") return void socket.destroy()
      if (typeof result.body !== "object") return await send(response, result)
      const length = Number(result.headers?.["content-length"])
      await send(response, { ...result, body: faultyBody(fault, result.body, length, socket) })
    } catch (error) {
      if (socket.destroyed || response.headersSent) throw error
      await drain(request)
      await send(response, refusal(method, error))
    }
  }

  const tls = options.tls ? await selfSignedCertificate() : undefined
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", resolve)
  })
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  const bucketNamed = (name: string) => {
    const found = service.buckets.get(name)
    if (!found) throw new Error(`there is no bucket ${name}`)
    return found
  }

  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}${path}`,
    rules: service.rules,
    lock: (bucket, key) => void bucketNamed(bucket).locked.add(key),
    keepVersions: (bucket) => {
      bucketNamed(bucket).isVersioned = true
    },
    setKeys: (given) => {
      keys = given
    },
    accessKeyId,
    secretAccessKey,
    certificate: tls?.cert,
    requests,
    filesOf: (bucket, key) => findVersion(bucketNamed(bucket), key).pieces.map((piece) => piece.path),
    headersOf: (bucket, key) => findVersion(bucketNamed(bucket), key).headers,
    openUploads: () =>
      [...service.buckets.values()].flatMap(({ name, uploads }) =>
        [...uploads.values()].map((upload) => `${name}/${upload.key}`),
      ),
    inject: (inject) => {
      injected = inject
    },
    setAhead: (minutes) => {
      aheadMs = minutes * 60_000
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Reads the rest of a request: a client that is still sending would not see an answer. */
async function drain(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}

async function send(response: ServerResponse, { status = 200, headers = {}, body }: Answer): Promise<void> {
  response.writeHead(status, { "x-amz-request-id": randomBytes(8).toString("hex"), ...headers })
  if (typeof body === "object") await pipeline(Readable.from(body, { objectMode: false }), response)
  else response.end(body)
}

function refusal(method: string, error: unknown): Answer {
  const { status, code, message, headers } =
    error instanceof S3Error ? error : new S3Error(500, "InternalError", { message: String(error) })
  const body = formatXml("Error", { Code: code, Message: message })
  return {
    status,
    headers: { "content-type": "application/xml", ...headers },
    ...(method === "HEAD" ? {} : { body }),
  }
}
