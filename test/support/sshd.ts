import { execFileSync, spawn } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { userInfo } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import { onTestFinished } from "vitest"
import { freePort } from "./postgres.ts"

/** A real sshd on this machine's loopback address, and an ssh of this user that knows it and has a key for it. */
export type Sshd = {
  /** "me@127.0.0.1:2222": for --tunnel. */
  readonly bastion: string
  readonly port: number
  /** With it, `ssh` reads the configuration of this folder alone, and notes in "ssh-called" what it was called with. */
  readonly PATH: string
  /** The file that ssh's host keys are in. */
  readonly knownHosts: string
  /** What sshd has written so far. */
  log(): string
  /** Ends every connection as a bastion does that goes down. */
  stop(): Promise<void>
}

/** @param settings of sshd_config, in place of those for logging in by key */
export async function startSshd(
  folder: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<Sshd> {
  const port = await freePort()
  const file = (name: string) => join(folder, name)
  for (const name of ["host-key", "user-key"])
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file(name)])
  const hostKey = await readFile(file("host-key.pub"), "utf8")
  const user = userInfo().username
  const lines = {
    Port: String(port),
    ListenAddress: "127.0.0.1",
    HostKey: file("host-key"),
    PidFile: "none",
    AuthorizedKeysFile: file("user-key.pub"),
    StrictModes: "no",
    UsePAM: "no",
    PermitRootLogin: "yes",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    LogLevel: "DEBUG1",
    ...settings,
  }
  const text = (all: object) =>
    Object.entries(all)
      .map(([name, value]) => `${name} ${value}\n`)
      .join("")
  writeFileSync(file("sshd_config"), text(lines))
  writeFileSync(file("known_hosts"), `[127.0.0.1]:${port} ${hostKey}`)
  writeFileSync(
    file("ssh_config"),
    text({
      IdentityFile: file("user-key"),
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      UserKnownHostsFile: file("known_hosts"),
      GlobalKnownHostsFile: "/dev/null",
    }),
  )
  mkdirSync(file("ssh-bin"))
  const log = `printf '%s\\n' "$*" >>"${file("ssh-called")}"`
  const program = `#!/bin/sh\n${log}\nexec "${find("ssh")}" -F "${file("ssh_config")}" "$@"\n`
  writeFileSync(join(file("ssh-bin"), "ssh"), program, { mode: 0o755 })
  // What Debian's service makes before it starts it.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 })

  const sshd = spawn(find("sshd"), ["-D", "-e", "-f", file("sshd_config")], {
    stdio: ["ignore", "ignore", "pipe"],
    // With all that it starts in one group, which can be ended at once.
    detached: true,
  })
  const { pid } = sshd
  if (pid === undefined) throw new Error("sshd could not be started")
  let said = ""
  sshd.stderr.setEncoding("utf8").on("data", (more: string) => {
    said += more
  })
  const ended = new Promise<void>((resolve) => sshd.once("close", () => resolve()))
  const stop = async () => {
    for (const one of [pid, ...connectionsIn(said)]) kill(one)
    await ended
  }
  onTestFinished(stop)
  while (!said.includes(`Server listening on 127.0.0.1 port ${port}`)) {
    if (sshd.exitCode !== null) throw new Error(`sshd ended: ${said}`)
    await wait(20)
  }
  return {
    bastion: `${user}@127.0.0.1:${port}`,
    port,
    PATH: `${file("ssh-bin")}${delimiter}${process.env.PATH}`,
    knownHosts: file("known_hosts"),
    log: () => said,
    stop,
  }
}

/** The processes that serve connections have sessions of their own. */
function connectionsIn(log: string): number[] {
  return [...log.matchAll(/Forked child (\d+)\.|User child is on pid (\d+)/g)].map(([, forked, child]) =>
    Number(forked ?? child),
  )
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended.
  }
}

/** sshd must be called by its whole path, and is where the PATH of a user may not lead. */
function find(name: string): string {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
  if (found === undefined)
    throw new Error(`these tests need ${name}: apt-get install openssh-server openssh-client`)
  return found
}
