import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import type { Context } from "aws-lambda"

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
  answer(operation: string, answer: AwsAnswer | ((input: AwsRequest["input"]) => AwsAnswer)): void
  reset(): void
  close(): Promise<void>
}

/** Starts the endpoint, and points the SDK of this process at it. */
export async function startAwsEndpoint(): Promise<AwsEndpoint> {
  const requests: AwsRequest[] = []
  const puts: Record<string, unknown>[] = []
  const answers = new Map<string, AwsAnswer | ((input: AwsRequest["input"]) => AwsAnswer)>()
  const handle = async (request: IncomingMessage): Promise<{ status: number; body: object }> => {
    // The SDK and our functions send JSON objects.
    const input = JSON.parse(await text(request)) as Record<string, unknown>
    if (request.method === "PUT") {
      puts.push(input)
      return { status: 200, body: {} }
    }
    const operation = String(request.headers["x-amz-target"]).replace(/^.*\./, "")
    requests.push({ operation, input })
    const known = answers.get(operation) ?? {}
    const body = typeof known === "function" ? known(input) : known
    if (!("error" in body)) return { status: 200, body }
    return { status: 400, body: { __type: body.error, message: `${operation} was refused` } }
  }
  const server = createServer((request, response) => {
    void handle(request).then(({ status, body }) => {
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
    events: () =>
      requests
        .filter(({ operation }) => operation === "PutEvents")
        // PutEvents' own shape.
        .flatMap(({ input }) => input.Entries as { DetailType: string; Detail: string }[])
        .map(({ DetailType, Detail }) => ({ ...(JSON.parse(Detail) as object), type: DetailType })),
    answer: (operation, answer) => answers.set(operation, answer),
    reset: () => {
      requests.length = 0
      puts.length = 0
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
