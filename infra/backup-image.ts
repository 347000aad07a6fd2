import { existsSync, readFileSync } from "node:fs"
import { Annotations } from "aws-cdk-lib"
import { DockerImageAsset, Platform } from "aws-cdk-lib/aws-ecr-assets"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import type { Construct } from "constructs"
import { unpinned } from "../task/build/unpinned.ts"
import { dockerfile, howToPin, putImage } from "./built-parts.ts"
import { problemOfForeignProcessor } from "./foreign-processor.ts"
import { withFolder } from "./with-folder.ts"

/**
 * The image of the tasks, built by `cdk deploy` (which needs Docker, or what CDK_DOCKER names).
 * The first deployment of each month builds it again, since Debian's packages change where nothing here does.
 */
export function builtImage(
  scope: Construct,
  architecture: "arm64" | "x86_64",
  today = new Date(),
): ContainerImage {
  const problem = problemOfForeignProcessor(architecture, {
    platform: process.platform,
    arch: process.arch,
    exists: existsSync,
  })
  if (problem !== undefined) Annotations.of(scope).addWarningV2("pgstow:foreign-processor", problem)
  const open = unpinned(readFileSync(dockerfile, "utf8"))
  if (open.length > 0)
    Annotations.of(scope).addInfo(
      `the image is built from what is there on the day: ${open.join(", ")} in its Dockerfile are not pinned; ${howToPin}`,
    )
  return ContainerImage.fromDockerImageAsset(
    withFolder(
      putImage,
      (directory) =>
        new DockerImageAsset(scope, "Image", {
          directory,
          platform: architecture === "arm64" ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
          buildArgs: { REBUILT: today.toISOString().slice(0, "2026-11".length) },
        }),
    ),
  )
}
