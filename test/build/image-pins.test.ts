import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { text } from "node:stream/consumers"
import { afterAll, beforeAll, expect, it } from "vitest"
import { unpinned } from "../../task/build/unpinned.ts"

/** No registry is asked here: a program stands in for Docker, which would ask one. The files come from loopback. */

const digest = `sha256:${"0a1b2c3d".repeat(8)}`
const content = "certificates"
const checksum = createHash("sha256").update(content).digest("hex")

let folder: string
let files: Server
let url: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgstow-pins-"))
  writeFileSync(
    join(folder, "docker"),
    `#!/bin/sh\necho "$*" >> ${folder}/asked\n[ "$4" = gone:1 ] && { echo "ERROR: gone:1: not found" >&2; exit 1; }\n[ "$4" = odd:1 ] && { echo odd; exit 0; }\necho '{"mediaType":"index","digest":"${digest}"}'\n`,
    { mode: 0o755 },
  )
  files = createServer((request, response) => {
    response.writeHead(request.url === "/rds.pem" ? 200 : 404).end(content)
  })
  files.listen(0, "127.0.0.1")
  await once(files, "listening")
  // A TCP server's address is an object.
  url = `http://127.0.0.1:${(files.address() as AddressInfo).port}`
})
afterAll(() => {
  files.close()
  rmSync(folder, { recursive: true })
})

async function pin(dockerfile: string, docker = join(folder, "docker")) {
  const file = join(folder, "Dockerfile")
  writeFileSync(file, dockerfile)
  const args = [resolve("task/build/image-pins.ts"), file, docker]
  const child = spawn(process.execPath, args, {
    stdio: ["ignore", "pipe", "pipe"],
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")])
  return { exitCode: child.exitCode, stdout, stderr, dockerfile: readFileSync(file, "utf8") }
}

it("images get the digests that their tags have, whatever they had, and files their checksums", async () => {
  const old = `@sha256:${"f".repeat(64)}`
  const { exitCode, stdout, dockerfile } = await pin(
    `ARG BASE_IMAGE=debian:bookworm-slim\nARG NODE_IMAGE=node:24${old}\nARG RDS=${url}/rds.pem\nARG RDS_SHA256=\nARG REBUILT=\nFROM x\n`,
  )
  const lines = [
    `ARG BASE_IMAGE=debian:bookworm-slim@${digest}`,
    `ARG NODE_IMAGE=node:24@${digest}`,
    `ARG RDS_SHA256=${checksum}`,
  ]
  expect(exitCode).toBe(0)
  expect(stdout).toBe(`${lines.join("\n")}\n`)
  expect(dockerfile).toBe(
    `${lines[0]}\n${lines[1]}\nARG RDS=${url}/rds.pem\n${lines[2]}\nARG REBUILT=\nFROM x\n`,
  )
  expect(readFileSync(join(folder, "asked"), "utf8")).toContain("buildx imagetools inspect node:24 ")
})

it.each([
  [
    "an image that is not there",
    "ARG BASE_IMAGE=gone:1\n",
    "docker can't tell the digest of gone:1: ERROR: gone:1: not found",
  ],
  [
    "an answer without a digest",
    "ARG BASE_IMAGE=odd:1\n",
    "docker can't tell the digest of odd:1: no digest in its answer",
  ],
  [
    "a file that is not there",
    "ARG KEY=URL/gone\nARG KEY_SHA256=\n",
    "/gone can't be fetched: it was answered 404",
  ],
  [
    "a server that is not there",
    "ARG KEY=http://127.0.0.1:1/\nARG KEY_SHA256=\n",
    "http://127.0.0.1:1/ can't be fetched",
  ],
])("%s changes nothing, and is said in a sentence", async (_, lines, words) => {
  const dockerfile = lines.replace("URL", url)
  const pinned = await pin(dockerfile)
  expect(pinned.exitCode).toBe(1)
  expect(pinned.dockerfile).toBe(dockerfile)
  expect(pinned.stderr).toContain(words)
  expect(pinned.stderr.trim().split("\n")).toHaveLength(3)
  expect(pinned.stderr).toMatch(/Nothing in .*Dockerfile was changed\.\n$/)
})

it("a machine without Docker is told what it takes", async () => {
  const pinned = await pin("ARG BASE_IMAGE=debian:bookworm-slim\n", join(folder, "no-docker"))
  expect(pinned.exitCode).toBe(1)
  expect(pinned.stderr).toContain("the digest of debian:bookworm-slim: there is no such program\n")
  expect(pinned.stderr).toContain("what CDK_DOCKER names")
})

it("what is not pinned is told from what is", () => {
  const lines = [
    "ARG BASE_IMAGE=debian:bookworm-slim",
    "ARG RDS=https://x",
    "ARG RDS_SHA256=",
    "ARG REBUILT=",
  ]
  expect(unpinned(lines.join("\n"))).toEqual(["BASE_IMAGE", "RDS"])
  expect(unpinned(`ARG BASE_IMAGE=debian@${digest}\nARG RDS_SHA256=${checksum}\n`)).toEqual([])
})

it("the Dockerfile has a place for each pin", () => {
  const dockerfile = readFileSync("task/Dockerfile", "utf8")
  for (const name of ["BASE_IMAGE", "NODE_IMAGE"])
    expect(dockerfile).toMatch(new RegExp(`^ARG ${name}=\\S+$`, "m"))
  for (const [, name = ""] of dockerfile.matchAll(/^ADD \$\{(\w+)\}/gm)) {
    expect(dockerfile).toMatch(new RegExp(`^ARG ${name}=https://\\S+$`, "m"))
    expect(dockerfile).toMatch(new RegExp(`^ARG ${name}_SHA256=\\S*$`, "m"))
    expect(dockerfile).toContain(`echo "$${name}_SHA256 `)
  }
})
