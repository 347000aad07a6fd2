import { describe, expect, test } from "vitest"
import { parseBastion } from "../../task/postgres/bastion.ts"
import { connectionFrom, conninfo, describe as inWords } from "../../task/postgres/connection.ts"
import { throughTunnel } from "../../task/postgres/tunnel.ts"
import { tunnelFailure } from "../../task/postgres/tunnel-failure.ts"

const through = (databaseUrl: string, env: Record<string, string> = {}, exec?: string) =>
  throughTunnel(connectionFrom({ databaseUrl, env, exec }), "me@bastion", { env, onLoss: () => {} })

test.each([
  ["bastion", "bastion", undefined],
  ["me@bastion.example.com", "me@bastion.example.com", undefined],
  ["me@bastion:2222", "me@bastion", "2222"],
  ["me@corp.example@bastion", "me@corp.example@bastion", undefined],
  ["me@[2001:db8::1]:22", "me@2001:db8::1", "22"],
  ["my_alias", "my_alias", undefined],
])("%s names an SSH server", (words, destination, port) => {
  expect(parseBastion(words)).toEqual({ words, destination, port })
})

test.each([
  "-oProxyCommand=touch /tmp/x",
  "me@-oProxyCommand=x",
  "-l@bastion",
  "me@bastion:0",
  "me@bastion:70000",
  "me@bastion:ssh",
  "me:hunter2@bastion",
  "me@",
  "me@b b",
  "me@$(id)",
  "ssh://me@bastion",
  "2001:db8::1",
])("%s names none, and is not repeated", (words) => {
  const parse = () => parseBastion(words)
  expect(parse).toThrow("--tunnel (PGSTOW_TUNNEL) names no SSH server")
  expect(parse).toThrow(expect.objectContaining({ kind: "usage" }))
})

describe("a tunnel", () => {
  test.each([
    ["postgres://a:1,b:2/db", {}, undefined, "several hosts"],
    ["postgres://a/db?hostaddr=10.0.0.1,10.0.0.2", {}, undefined, "several hosts"],
    ["postgres:///db", {}, undefined, "needs the server's host"],
    ["postgres:///db?host=/var/run/postgresql", {}, undefined, "needs the server's host"],
    ["service=orders", { PGHOST: "db" }, undefined, "needs the server's host"],
    ["postgres://db/orders", {}, "docker exec -i db", "--tunnel and --exec contradict each other"],
  ])("does not lead to %s with %o", (url, env, exec, message) => {
    expect(() => through(url, env, exec)).toThrow(expect.objectContaining({ kind: "usage" }))
    expect(() => through(url, env, exec)).toThrow(message)
  })

  test("leaves the server its name in messages, and says through whom it is reached", () => {
    expect(inWords(through("postgres://app@db.internal/orders"))).toBe(
      "orders on db.internal:5432 through me@bastion as app",
    )
  })

  test("must be open before a program is told where it is", () => {
    expect(() => conninfo(through("postgres://db/orders"))).toThrow("the tunnel was not opened")
  })
})

test("a changed host key: the hint is for the host that ssh calls so", () => {
  const stderr =
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /home/me/.ssh/known_hosts:3\n"
  const failure = tunnelFailure(parseBastion("me@bastion"), { status: 255, stderr })
  expect(failure.message).toContain("the known one is in /home/me/.ssh/known_hosts:3")
  expect(failure.hint).toContain("`ssh-keygen -R bastion`")
})
