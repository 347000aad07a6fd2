import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { DockerImageAsset, Platform } from "aws-cdk-lib/aws-ecr-assets"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import type { Construct } from "constructs"
import { bundleProgram } from "../task/build/bundle-program.ts"
import { withFolder } from "./with-folder.ts"

/** Puts what the image is built from into a folder: the Dockerfile, and the program as one file. */
export function stageImage(folder: string): void {
  copyFileSync(join(import.meta.dirname, "../task/Dockerfile"), join(folder, "Dockerfile"))
  bundleProgram(join(folder, "pgstow.mjs"))
}

/** The image of the tasks, built from this checkout by `cdk deploy` (which needs Docker, or what CDK_DOCKER names). */
export function builtImage(scope: Construct, architecture: "arm64" | "x86_64"): ContainerImage {
  const platform = architecture === "arm64" ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64
  return ContainerImage.fromDockerImageAsset(
    withFolder(stageImage, (directory) => new DockerImageAsset(scope, "Image", { directory, platform })),
  )
}
