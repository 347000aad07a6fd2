import { spawnSync } from "node:child_process"

/** Runs a program to its end. Throws where it is not installed, saying how to install it, or exits with an error. */
export function run(program: string, args: readonly string[], input: Uint8Array = new Uint8Array()): Buffer {
  const { error, status, stdout, stderr } = spawnSync(program, args, { input, maxBuffer: 1024 ** 3 })
  if (error && "code" in error && error.code === "ENOENT")
    throw new Error(`these tests need the program ${program}: ${howToInstall[program] ?? "install it"}`)
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} exited with ${status}: ${stderr}`)
  return stdout
}

const age = "apt-get install age, or brew install age"
const howToInstall: Record<string, string> = {
  age,
  openssl: "apt-get install openssl, or brew install openssl",
  "age-keygen": age,
  "systemd-analyze": "apt-get install systemd",
  zstd: "apt-get install zstd, or brew install zstd",
}
