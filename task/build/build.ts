import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { bundle } from "./bundle.ts"
import { bundleFunction } from "./bundle-function.ts"
import { bundleTypes } from "./bundle-types.ts"
import { stageImage } from "./stage-image.ts"
import { billOfBundled, readPackages, thirdPartyLicences } from "./third-party.ts"
import { writeJsonSchema } from "./write-json-schema.ts"

/**
 * Makes all that the npm package has, in dist/: the program in one file that runs alone, what the image is built from, the
 * library and the constructs with their declarations, the functions that the constructs deploy, the schema of the
 * settings, the manual page, and what is in these of others.
 */
const root = resolve(import.meta.dirname, "../..")
const dist = join(root, "dist")
/** What an app has that uses the constructs. */
const peers = ["aws-cdk-lib", "constructs"]

mkdirSync(dist, { recursive: true })
rmSync(join(dist, "functions"), { recursive: true, force: true })

/** The functions of functions/, by their files' names without the ending; the other files there are parts of them. */
const functions = readdirSync(join(root, "functions"))
  .filter((file) => /^export const handler\b/m.test(readFileSync(join(root, "functions", file), "utf8")))
  .map((file) => file.replace(/\.ts$/, ""))

const packages = readPackages(
  [
    ...stageImage(dist),
    ...functions.flatMap((name) => bundleFunction(name, join(dist, "functions", `${name}.mjs`))),
    ...bundle("task/library/library.ts", join(dist, "library.js")),
    ...bundle("infra/cdk.ts", join(dist, "cdk.js"), {
      external: [...peers],
      define: { PGSTOW_PACKAGED: "true" },
    }),
  ].map((folder) => join(root, folder)),
)
writeJsonSchema(dist)
// The program as it is packed knows what it takes.
writeFileSync(join(dist, "pgstow.1"), execFileSync(process.execPath, [join(dist, "pgstow.mjs"), "man"]))
writeFileSync(join(dist, "third-party-licences.txt"), thirdPartyLicences(packages))
const bill: unknown = JSON.parse(
  execFileSync("npm", ["sbom", "--sbom-format", "cyclonedx"], { cwd: root, encoding: "utf8" }),
)
writeFileSync(
  join(dist, "sbom.json"),
  `${JSON.stringify(billOfBundled(bill, "pgstow", packages), null, 2)}\n`,
)
await bundleTypes({ library: "task/library/library.ts", cdk: "infra/cdk.ts" }, peers, dist)
