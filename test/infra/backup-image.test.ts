import { readFileSync } from "node:fs"
import { App, Stack } from "aws-cdk-lib"
import { DockerImageAsset } from "aws-cdk-lib/aws-ecr-assets"
import { expect, it } from "vitest"
import { builtImage } from "../../infra/backup-image.ts"
import { drillImage } from "../../infra/drill-image.ts"
import { unpinned } from "../../task/build/unpinned.ts"

function assetHash(today: string): string {
  const stack = new Stack(new App(), "Stack")
  builtImage(stack, "arm64", new Date(today))
  const asset = stack.node.findChild("Image")
  if (!(asset instanceof DockerImageAsset)) throw new Error("the image is no asset")
  return asset.assetHash
}

it("the image is another one from month to month, and the same within one", () => {
  const november = assetHash("2026-11-01T00:00:00Z")
  expect(assetHash("2026-11-30T23:59:59Z")).toBe(november)
  expect(assetHash("2026-12-01T00:00:00Z")).not.toBe(november)
})

it("synth says what the image is built from is not pinned, as long as it is not", () => {
  const stack = new Stack(new App(), "Stack")
  builtImage(stack, "arm64")
  const said = stack.node.metadata.map(({ data }) => String(data)).join()
  const names = unpinned(readFileSync("task/Dockerfile", "utf8"))
  for (const name of names) expect(said).toContain(name)
  expect(said.includes("npm run image:pins")).toBe(names.length > 0)
})

it("the drills' image is another one by its target, and by what packages it gets", () => {
  const hash = (packages: readonly string[]) => {
    const stack = new Stack(new App(), "Stack")
    const today = new Date("2026-11-01T00:00:00Z")
    builtImage(stack, "arm64", today)
    drillImage(stack, "arm64", packages, today)
    const assets = ["Image", "DrillImage"].map((id) => stack.node.findChild(id))
    return assets.map((asset) => (asset instanceof DockerImageAsset ? asset.assetHash : undefined))
  }
  const [plain, drill] = hash([])
  expect([typeof plain, typeof drill]).toEqual(["string", "string"])
  expect(drill).not.toBe(plain)
  expect(hash(["postgresql-MAJOR-pgvector"])[1]).not.toBe(drill)
})
