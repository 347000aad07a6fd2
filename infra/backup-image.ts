import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DockerImageAsset, Platform } from "aws-cdk-lib/aws-ecr-assets"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import type { Construct } from "constructs"
import { buildSync } from "esbuild"

const projectRoot = join(import.meta.dirname, "..")

/** Puts what the image is built from into a folder: the Dockerfile, and the program as one file. */
export function stageImage(folder: string): void {
  copyFileSync(join(projectRoot, "task", "Dockerfile"), join(folder, "Dockerfile"))
  buildSync({
    entryPoints: [join(projectRoot, "task", "main.ts")],
    outfile: join(folder, "pgstow.mjs"),
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    mainFields: ["module", "main"],
    // Some packages below are CommonJS and call `require`, which a module of today does not have.
    banner: {
      js: 'import { createRequire as pgstowRequire } from "node:module"; const require = pgstowRequire(import.meta.url);',
    },
    logLevel: "error",
  })
}

/** The image of the tasks, built from this checkout by `cdk deploy` (which needs Docker, or what CDK_DOCKER names). */
export function builtImage(scope: Construct, architecture: "arm64" | "x86_64"): ContainerImage {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-image-"))
  stageImage(folder)
  const asset = new DockerImageAsset(scope, "Image", {
    directory: folder,
    platform: architecture === "arm64" ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
  })
  // The asset has its own copy by now.
  rmSync(folder, { recursive: true })
  return ContainerImage.fromDockerImageAsset(asset)
}
