import { describe, expect, it } from "vitest"
import { problemOfForeignProcessor } from "../../infra/foreign-processor.ts"

describe("an image for another processor", () => {
  const nowhere = () => false

  it.each([
    ["arm64", "linux", "x64", "--install arm64", '"architecture": "x86_64"'],
    ["x86_64", "linux", "arm64", "--install amd64", '"architecture": "arm64"'],
  ] as const)("%s is not built on %s, %s without help", (architecture, platform, arch, command, setting) => {
    const problem = problemOfForeignProcessor(architecture, { platform, arch, exists: nowhere })
    expect(problem).toContain(command)
    expect(problem).toContain(setting)
  })

  it.each([
    ["arm64", "linux", "arm64", nowhere],
    ["x86_64", "linux", "x64", nowhere],
    ["arm64", "darwin", "x64", nowhere],
    ["arm64", "linux", "x64", (path: string) => path === "/proc/sys/fs/binfmt_misc/qemu-aarch64"],
    ["x86_64", "linux", "arm64", (path: string) => path === "/proc/sys/fs/binfmt_misc/qemu-x86_64"],
  ] as const)("%s is built on %s, %s", (architecture, platform, arch, exists) => {
    expect(problemOfForeignProcessor(architecture, { platform, arch, exists })).toBeUndefined()
  })
})
