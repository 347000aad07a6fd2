import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import licences from "spdx-license-list/full.js"
import * as z from "zod"

/** A package that is bundled. */
export type BundledPackage = {
  readonly folder: string
  readonly name: string
  readonly version: string
  /** By its SPDX name. */
  readonly license: string
  readonly author?: string | undefined
}

const packageSchema = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string(),
  author: z.union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)]).optional(),
})

/** What packages say of themselves, by their folders: each version of each once, by its name. */
export function readPackages(folders: readonly string[]): BundledPackage[] {
  const all = folders.map((folder) => ({
    folder,
    ...packageSchema.parse(JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))),
  }))
  const one = new Map(all.map((each) => [`${each.name}@${each.version}`, each]))
  return [...one.keys()].sort().flatMap((key) => one.get(key) ?? [])
}

/**
 * The licences of packages as one text: what their authors ask of whoever passes them on. One that comes without its text
 * has that of SPDX's list, with its author in it. Throws where that has none either.
 */
export function thirdPartyLicences(packages: readonly BundledPackage[]): string {
  const parts = packages.map((one) => ({
    title: `${one.name} ${one.version} (${one.license})`,
    text: licenceOf(one),
  }))
  // Many have the same one.
  const alike = Map.groupBy(parts, ({ text }) => text)
  return `pgstow's files hold these packages, each under its own licence.\n${[...alike]
    .map(([text, those]) => `\n${"=".repeat(80)}\n${those.map(({ title }) => title).join("\n")}\n\n${text}\n`)
    .join("")}`
}

function licenceOf({ folder, name, license, author }: BundledPackage): string {
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)\b/i.test(file))
  const texts = files.sort().map((file) => readFileSync(join(folder, file), "utf8").trim())
  if (files.some((file) => !/^notice/i.test(file))) return texts.join("\n\n")
  const known = licences[license]?.licenseText
  if (known === undefined) throw new Error(`${folder} has no licence`)
  // As the texts of the list leave room for it.
  const filled = known.replace(
    /Copyright(?: \(c\))? <year> <copyright holders?>/i,
    `Copyright ${author ?? `the authors of ${name}`}`,
  )
  return [filled.trim(), ...texts].join("\n\n")
}

const billSchema = z.looseObject({
  metadata: z.looseObject({ component: z.looseObject({ "bom-ref": z.string() }) }),
  components: z.array(
    z.looseObject({ "bom-ref": z.string(), properties: z.array(z.looseObject({ name: z.string() })) }),
  ),
  dependencies: z.array(z.looseObject({ ref: z.string(), dependsOn: z.array(z.string()) })),
})

/**
 * Of the bill of materials that `npm sbom` writes in CycloneDX about everything that is installed, the packages that are
 * bundled. Throws where it lacks one.
 *
 * @param name the name of the whole, which npm takes from the folder
 */
export function billOfBundled(bill: unknown, name: string, packages: readonly BundledPackage[]): object {
  const { metadata, components, dependencies, ...others } = billSchema.parse(bill)
  const refs = new Set(packages.map((one) => `${one.name}@${one.version}`))
  const bundled = components.filter((one) => refs.has(one["bom-ref"]))
  if (bundled.length !== refs.size)
    throw new Error(`npm sbom names ${bundled.length} of ${refs.size} bundled packages`)
  const whole = metadata.component["bom-ref"]
  return {
    ...others,
    metadata: { ...metadata, component: { ...metadata.component, name } },
    components: bundled.map(({ properties, ...one }) => ({
      ...one,
      // To npm they are what this is developed with.
      properties: properties.filter((each) => each.name !== "cdx:npm:package:development"),
    })),
    dependencies: dependencies
      .filter(({ ref }) => ref === whole || refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => refs.has(other)) })),
  }
}
