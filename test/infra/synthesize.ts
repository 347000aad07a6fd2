import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { App, type IPolicyValidationPlugin, NestedStack, Validations } from "aws-cdk-lib"
import { Template } from "aws-cdk-lib/assertions"
import * as z from "zod"
import { regionContext } from "../../infra/backup-network.ts"
import { BackupStack } from "../../infra/backup-stack.ts"
import { parseSettings } from "../../infra/settings.ts"

const statementSchema = z.object({
  Effect: z.string(),
  Action: z.union([z.string(), z.array(z.string())]).transform((action) => [action].flat()),
  Resource: z.unknown(),
  Condition: z.unknown().optional(),
})
export type Statement = z.output<typeof statementSchema>

export const resourceSchema = z.looseObject({
  Type: z.string(),
  Properties: z.record(z.string(), z.unknown()).default({}),
  Metadata: z.record(z.string(), z.unknown()).default({}),
  DeletionPolicy: z.string().optional(),
  UpdateReplacePolicy: z.string().optional(),
})
const templateSchema = z.looseObject({
  Resources: z.record(z.string(), resourceSchema),
  Outputs: z.record(z.string(), z.object({ Value: z.unknown() })).default({}),
})

type Resources = z.output<typeof templateSchema>["Resources"]

/** What a nested stack says, with its parameters as the stack around it gives them. */
function withParameters(value: unknown, parameters: object): unknown {
  if (Array.isArray(value)) return value.map((inner) => withParameters(inner, parameters))
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value)
  const [[name, argument] = ["", undefined]] = entries
  const given = Object.entries(parameters).find(([parameter]) => parameter === argument)
  if (entries.length === 1 && name === "Ref" && given !== undefined) return given[1]
  return Object.fromEntries(entries.map(([key, inner]) => [key, withParameters(inner, parameters)]))
}

/** A template, nested stacks and all, with values that CloudFormation would fill in written as <…>. */
export type Synthesized = {
  readonly stackName: string
  /** How many resources are in the stack, and in each nested one. */
  readonly counts: readonly number[]
  readonly template: Template
  readonly resources: z.output<typeof templateSchema>["Resources"]
  readonly outputs: z.output<typeof templateSchema>["Outputs"]
  /** What the synthesis says to who deploys. */
  readonly messages: readonly string[]
  /** The rules that the plugins found broken, each with the construct that breaks it. */
  readonly violations: readonly { readonly rule: string; readonly construct: string }[]
}

/**
 * Synthesizes the stack from settings, with the library's own validation on. The image is a named one.
 *
 * @param region where it is known what region it is for
 */
export function synthesize(
  settings: object,
  plugins: readonly IPolicyValidationPlugin[] = [],
  region?: string,
): Synthesized {
  const outdir = mkdtempSync(join(tmpdir(), "pgstow-synth-"))
  try {
    const app = new App({
      outdir,
      context: {
        "@aws-cdk/core:validateAgainstDefaultRules": true,
        ...(region === undefined ? {} : { [regionContext]: region }),
      },
    })
    Validations.of(app).addPlugins(...plugins)
    const stack = new BackupStack(
      app,
      parseSettings({ image: "pgstow:test", drillImage: "pgstow:drill", ...settings }, "the test's settings"),
    )
    const violations = synthesizeWith(app, outdir)
    const read = (file: string) => templateSchema.parse(JSON.parse(readFileSync(join(outdir, file), "utf8")))
    const root = read(`${stack.stackName}.template.json`)
    const counts = [Object.keys(root.Resources).length]
    const { Outputs: outputs } = root
    const resources: Resources = { ...root.Resources }
    for (const nested of stack.node.findAll()) {
      if (!(nested instanceof NestedStack)) continue
      const id = z.string().parse(stack.resolve(nested.nestedStackResource?.logicalId))
      const { Resources } = read(nested.templateFile)
      counts.push(Object.keys(Resources).length)
      for (const [name, inner] of Object.entries(Resources)) {
        if (name in resources) throw new Error(`two resources are called ${name}`)
        const given = resources[id]?.Properties.Parameters ?? {}
        resources[name] = resourceSchema.parse(withParameters(inner, given))
      }
    }
    const template = Template.fromJSON({ ...root, Resources: resources })
    const messages = stack.node.metadata
      .filter(({ type }) => type === "aws:cdk:info" || type === "aws:cdk:warning")
      .map(({ data }) => String(filled(stack.resolve(data))))
    return { counts, stackName: stack.stackName, messages, template, resources, outputs, violations }
  } finally {
    rmSync(outdir, { recursive: true })
  }
}

const reportSchema = z.object({
  pluginReports: z.array(
    z.object({
      violations: z.array(
        z.object({
          ruleName: z.string(),
          violatingConstructs: z.array(z.object({ constructPath: z.string().optional() })),
        }),
      ),
    }),
  ),
})

/** Synthesizes, and gives what the validation says; a violation makes synth fail, and still writes everything. */
function synthesizeWith(app: App, outdir: string): Synthesized["violations"] {
  try {
    app.synth()
  } catch (error) {
    if (!(error instanceof Error && error.name === "ValidationFailed")) throw error
  }
  const report = reportSchema.parse(JSON.parse(readFileSync(join(outdir, "validation-report.json"), "utf8")))
  return report.pluginReports.flatMap(({ violations }) =>
    violations.flatMap(({ ruleName, violatingConstructs }) =>
      violatingConstructs.map(({ constructPath = "" }) => ({ rule: ruleName, construct: constructPath })),
    ),
  )
}

/** The one resource of `type` whose logical id matches. */
export function resource({ resources }: Synthesized, type: string, id = /./) {
  const found = Object.entries(resources).filter(([name, { Type }]) => Type === type && id.test(name))
  const [one] = found
  if (one === undefined || found.length > 1)
    throw new Error(`${found.length} resources of ${type} match ${id}`)
  return one[1]
}

/** Everything that the policies of the role allow, whose logical id matches; values filled in as <…>. */
export function allowed({ resources }: Synthesized, role: RegExp): Statement[] {
  const policy = z.object({
    Roles: z.array(z.object({ Ref: z.string() })),
    PolicyDocument: z.object({ Statement: z.array(statementSchema) }),
  })
  return Object.values(resources)
    .filter(({ Type }) => Type === "AWS::IAM::Policy")
    .map(({ Properties }) => policy.parse(Properties))
    .filter(({ Roles }) => Roles.some(({ Ref }) => role.test(Ref)))
    .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
    .map((statement) => ({ ...statement, Resource: filled(statement.Resource) }))
}

/** CloudFormation's functions as text: {"Fn::GetAtt": ["Bucket1A2B3C4D", "Arn"]} is "<Bucket.Arn>". */
export function filled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(filled)
  if (typeof value !== "object" || value === null) return value
  const [[name, argument] = ["", undefined], ...others] = Object.entries(value)
  if (others.length === 0 && name === "Ref") return `<${readableId(String(argument))}>`
  if (others.length === 0 && name === "Fn::GetAtt" && Array.isArray(argument))
    return `<${readableId(String(argument[0]))}.${argument[1]}>`
  if (others.length === 0 && name === "Fn::Join" && Array.isArray(argument))
    return (argument[1] as unknown[]).map(filled).join(String(argument[0]))
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner)]))
}

/** A logical id without the hash that the library appends, and without what all have in common. */
export function readableId(id: string): string {
  return id.replace(/[0-9A-F]{8}$/, "").replace(/^Backup(?=.)/, "")
}
