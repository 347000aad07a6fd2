export type Machine = {
  /** As process.platform and process.arch say. */
  readonly platform: string
  readonly arch: string
  readonly exists: (path: string) => boolean
}

/** What programs of a processor are called by Linux, Node and qemu. */
const names = {
  arm64: { node: "arm64", qemu: "qemu-aarch64" },
  x86_64: { node: "x64", qemu: "qemu-x86_64" },
} as const

/**
 * What to do before an image for `architecture` can be built on a machine; undefined where it can. Building runs the
 * image's own programs: on Linux the kernel must know how, while Docker's desktops bring that along.
 */
export function problemOfForeignProcessor(
  architecture: "arm64" | "x86_64",
  { platform, arch, exists }: Machine,
): string | undefined {
  const { node, qemu } = names[architecture]
  if (platform !== "linux" || arch === node || exists(`/proc/sys/fs/binfmt_misc/${qemu}`)) return undefined
  const own = arch === "arm64" ? "arm64" : "x86_64"
  const install = architecture === "arm64" ? "arm64" : "amd64"
  return `this machine can't run programs for ${architecture}, so the image can't be built here: run \`docker run --privileged --rm tonistiigi/binfmt --install ${install}\` once, or set "architecture": "${own}"`
}
