import { execFile } from "node:child_process"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { parseAllDocuments } from "yaml"
import * as z from "zod"
import { pythonTools } from "../support/python-tools.ts"
import { cached } from "../support/s3-service.ts"
import { goInstall } from "../support/versitygw.ts"

export const chart = resolve(import.meta.dirname, "../../infra/helm/pgstow")

/** The oldest Kubernetes that the chart is for, and the newest whose schemas are at hand. */
export const kubernetesVersions = ["1.29", "1.37"] as const

const run = promisify(execFile)

const helmVersion = "v3.22.0"

/** Helm, which Go builds once. */
const helmProgram = () =>
  cached(`helm-${helmVersion}`, (folder) => {
    goInstall(`helm.sh/helm/v3/cmd/helm@${helmVersion}`, folder)
    renameSync(join(folder, "helm"), join(folder, `helm-${helmVersion}`))
  })

const manifestSchema = z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) })

/** One object of Kubernetes. */
export type Manifest = z.infer<typeof manifestSchema>

/** What Helm says of the chart with these values; rejects with its words where it finds something wrong. */
export async function lintChart(values: unknown): Promise<string> {
  return withValues(values, (file) => helm("lint", "--strict", chart, "--values", file))
}

/** What Helm makes of the chart, as text. Rejects with Helm's words where it refuses the values. */
export async function renderChart(
  values: unknown,
  kubernetes: string = kubernetesVersions[1],
): Promise<string> {
  return withValues(values, (file) =>
    helm("template", "nightly", chart, "--kube-version", kubernetes, "--values", file),
  )
}

export function manifestsOf(rendered: string): Manifest[] {
  return parseAllDocuments(rendered)
    .map((document) => manifestSchema.nullable().parse(document.toJS()))
    .filter((manifest) => manifest !== null)
}

/** What is wrong with manifests for a version of Kubernetes by its own schemas: fields that it does not know, too. "" where nothing is. */
export async function problemsOf(rendered: string, kubernetes: string): Promise<string> {
  const program = join(pythonTools(["kubernetes-validate==1.37.0"]), "kubernetes-validate")
  return withFile("manifests.yaml", rendered, async (file) => {
    const ran = run(program, ["--strict", "--quiet", "-k", kubernetes, file])
    const { stdout, stderr } = await ran.catch((error: unknown) =>
      z.object({ stdout: z.string(), stderr: z.string() }).parse(error),
    )
    return `${stdout}${stderr}`
  })
}

async function helm(...args: string[]): Promise<string> {
  const { stdout } = await run(await helmProgram(), args)
  return stdout
}

function withValues<Result>(values: unknown, use: (file: string) => Promise<Result>): Promise<Result> {
  return withFile("values.json", JSON.stringify(values), use)
}

async function withFile<Result>(
  name: string,
  text: string,
  use: (file: string) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "pgstow-chart-"))
  try {
    writeFileSync(join(folder, name), text)
    return await use(join(folder, name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
