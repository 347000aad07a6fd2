/** The arguments of a Dockerfile that `npm run image:pins` would pin, and nobody has: images without a digest, files without a checksum. */
export function unpinned(dockerfile: string): string[] {
  return [...dockerfile.matchAll(/^ARG (\w+)=(\S*)$/gm)].flatMap(([, name = "", value = ""]) => {
    const open = name.endsWith("_IMAGE")
      ? !/@sha256:[0-9a-f]{64}$/.test(value)
      : name.endsWith("_SHA256") && value === ""
    return open ? [name.replace(/_SHA256$/, "")] : []
  })
}
