import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import type { Context } from "aws-lambda"
import { eventSource } from "../../task/notify/events.ts"

/** What a function asked of AWS. */
export type AwsRequest = { readonly operation: string; readonly input: Readonly<Record<string, unknown>> }

/** What AWS answers; `error` is the code of a refusal. */
export type AwsAnswer = Readonly<Record<string, unknown>>

/** AWS on loopback, for services that speak JSON: keeps what it was asked, answers as a test says. */
export type AwsEndpoint = {
  readonly url: string
  readonly requests: AwsRequest[]
  /** What was put on event buses: detail types with their details. */
  events(): { type: string; [detail: string]: unknown }[]
  /** Bodies that were put to plain URLs below `url`. */
  readonly puts: Record<string, unknown>[]
  /** The content types that they were put with. */
  readonly contentTypes: (string | undefined)[]
  /** What was posted to plain URLs below `url`. */
  readonly posts: { readonly path: string; readonly body: object }[]
  answer(operation: string, answer: AwsAnswer | ((input: AwsRequest["input"]) => AwsAnswer)): void
  reset(): void
  close(): Promise<void>
}

/** Starts the endpoint, and points the SDK of this process at it. */
export async function startAwsEndpoint(): Promise<AwsEndpoint> {
  const requests: AwsRequest[] = []
  const puts: Record<string, unknown>[] = []
  const posts: { path: string; body: object }[] = []
  const contentTypes: (string | undefined)[] = []
  const answers = new Map<string, AwsAnswer | ((input: AwsRequest["input"]) => AwsAnswer)>()
  const handle = async (request: IncomingMessage): Promise<{ status: number; body: object }> => {
    const sent = await text(request)
    const form = request.headers["content-type"]?.includes("x-www-form-urlencoded")
    // The SDK sends JSON objects, or a form, and our functions JSON.
    const input = (form ? Object.fromEntries(new URLSearchParams(sent)) : JSON.parse(sent)) as Record<
      string,
      unknown
    >
    if (request.method === "PUT") {
      puts.push(input)
      contentTypes.push(request.headers["content-type"])
      return { status: 200, body: {} }
    }
    if (request.url !== "/" && request.method === "POST") {
      posts.push({ path: request.url ?? "", body: input })
      return { status: 200, body: {} }
    }
    const target = form ? input.Action : request.headers["x-amz-target"]
    const operation = String(target).replace(/^.*\./, "")
    requests.push({ operation, input })
    const known = answers.get(operation) ?? {}
    const body = typeof known === "function" ? known(input) : known
    if (!("error" in body)) return { status: 200, body }
    return { status: 400, body: { message: `${operation} was refused`, ...body, __type: body.error } }
  }
  const server = createServer((request, response) => {
    void handle(request).then(({ status, body }) => {
      if (request.headers["content-type"]?.includes("x-www-form-urlencoded"))
        response
          .writeHead(status, { "content-type": "text/xml" })
          .end("<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>")
      else
        response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  // A TCP server's address is an object.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: url,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
    AWS_MAX_ATTEMPTS: "1",
  })
  return {
    url,
    requests,
    puts,
    contentTypes,
    posts,
    events: () =>
      requests
        .filter(({ operation }) => operation === "PutEvents")
        // PutEvents' own shape.
        .flatMap(({ input }) => input.Entries as { DetailType: string; Detail: string; Source: string }[])
        .map(({ DetailType, Detail, Source }) => ({
          ...(JSON.parse(Detail) as object),
          type: DetailType,
          // What pgstow says is of its own source; what functions ask of each other has another.
          ...(Source === eventSource ? {} : { source: Source }),
        })),
    answer: (operation, answer) => answers.set(operation, answer),
    reset: () => {
      requests.length = 0
      puts.length = 0
      posts.length = 0
      contentTypes.length = 0
      answers.clear()
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A Lambda context with a minute left. */
export const lambdaContext: Context = {
  callbackWaitsForEmptyEventLoop: false,
  functionName: "test",
  functionVersion: "1",
  invokedFunctionArn: "arn:aws:lambda:eu-central-1:111122223333:function:test",
  memoryLimitInMB: "256",
  awsRequestId: "00000000-0000-0000-0000-000000000000",
  logGroupName: "test",
  logStreamName: "test",
  getRemainingTimeInMillis: () => 60_000,
  done: () => {},
  fail: () => {},
  succeed: () => {},
}
