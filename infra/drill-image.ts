import { DockerImageAsset, Platform } from "aws-cdk-lib/aws-ecr-assets"
import { ContainerImage } from "aws-cdk-lib/aws-ecs"
import type { Construct } from "constructs"
import { putImage } from "./built-parts.ts"
import { withFolder } from "./with-folder.ts"

/**
 * The image of the drills, built as that of the other tasks is, with PostgreSQL's servers on top.
 *
 * @param packages more packages, MAJOR in their names for PostgreSQL's version
 */
export function drillImage(
  scope: Construct,
  architecture: "arm64" | "x86_64",
  packages: readonly string[],
  today = new Date(),
): ContainerImage {
  return ContainerImage.fromDockerImageAsset(
    withFolder(
      putImage,
      (directory) =>
        new DockerImageAsset(scope, "DrillImage", {
          directory,
          target: "drill",
          platform: architecture === "arm64" ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
          buildArgs: {
            REBUILT: today.toISOString().slice(0, "2026-11".length),
            ...(packages.length > 0 ? { SERVER_PACKAGES: packages.join(" ") } : {}),
          },
        }),
    ),
  )
}
