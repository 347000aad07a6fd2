import { join } from "node:path"
import { rolldown } from "rolldown"
import { dts } from "rolldown-plugin-dts"

const no = () => {}

/**
 * Writes the declarations of modules of this checkout, by the names of the files to write and their paths from the root:
 * each with all that it needs in it but `external` packages, as far as they have nothing in common.
 */
export async function bundleTypes(
  entries: Readonly<Record<string, string>>,
  external: readonly string[],
  folder: string,
): Promise<void> {
  for (const [name, entry] of Object.entries(entries)) {
    await using build = await rolldown({
      cwd: join(import.meta.dirname, "../.."),
      input: { [name]: entry },
      external: [...external.map((one) => new RegExp(`^${one}(/|$)`)), /^node:/],
      // Zod's declarations for `require` can't be bundled.
      resolve: { conditionNames: ["types", "import"] },
      // It says which compiler it uses, and that its next version wants a newer one.
      plugins: [
        dts({
          dtsOnly: true,
          tsconfig: "tsconfig.json",
          logger: { info: no, warn: no, error: console.error },
        }),
      ],
      onLog: (_level, { code, message }) => {
        if (code === "UNRESOLVED_IMPORT") throw new Error(message)
      },
    })
    await build.write({ dir: folder, codeSplitting: false })
  }
}
