import { execFile } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest"

/** `npm run cloud` against CloudFormation and ECS on loopback, where the stack asks for Spot and ECS starts nothing. */

const place = {
  name: "Pgstow",
  restores: true,
  cluster: "Pgstow",
  subnetIds: ["subnet-0a1b2c3d"],
  securityGroupIds: ["sg-0a1b2c3d"],
  publicIp: true,
  spot: true,
  capacityWaitSeconds: [],
}
const stacks = `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
<StackName>Pgstow</StackName><CreationTime>2026-01-02T03:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>
<Outputs><member><OutputKey>Place</OutputKey><OutputValue>${JSON.stringify(place).replaceAll('"', "&quot;")}</OutputValue></member></Outputs>
</member></Stacks></DescribeStacksResult></DescribeStacksResponse>`

const asked: string[] = []
const server = createServer((request, response) => {
  void text(request).then((body) => {
    if (request.headers["x-amz-target"] === undefined)
      return response.writeHead(200, { "content-type": "text/xml" }).end(stacks)
    // What RunTask is sent.
    asked.push(...providersOf(body))
    const failures = [{ reason: "RESOURCE:ENI" }]
    return response
      .writeHead(200, { "content-type": "application/x-amz-json-1.1" })
      .end(JSON.stringify({ tasks: [], failures }))
  })
})

function providersOf(body: string): string[] {
  // The SDK sends what the program gave it.
  const { capacityProviderStrategy } = JSON.parse(body) as {
    capacityProviderStrategy: { capacityProvider: string }[]
  }
  return capacityProviderStrategy.map(({ capacityProvider }) => capacityProvider)
}

beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
afterAll(() => server.close())
beforeEach(() => {
  asked.length = 0
})

/** Runs the program, and gives what it said on stderr. */
function cloud(...args: string[]): Promise<string> {
  // A TCP server's address is an object.
  const { port } = server.address() as AddressInfo
  const env = {
    ...process.env,
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
  }
  return new Promise((resolve) => {
    execFile(process.execPath, ["infra/cloud.ts", ...args], { env }, (_, __, stderr) => resolve(stderr))
  })
}

it("a restore runs on demand, since nobody starts it again when Spot takes its machine", async () => {
  expect(await cloud("restore", "orders", "--into", "orders_restored")).toContain("RESOURCE:ENI")
  expect(asked).toEqual(["FARGATE"])
})

it("a backup runs on Spot where the settings say so", async () => {
  expect(await cloud("backup", "orders")).toContain("RESOURCE:ENI")
  expect(asked).toEqual(["FARGATE_SPOT"])
})
