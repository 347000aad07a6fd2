import { existsSync, readFileSync } from "node:fs"
import { App } from "aws-cdk-lib"
import { parseJson } from "../task/config/parse-json.ts"
import { messageOf, PgstowError } from "../task/errors.ts"
import { regionContext } from "./backup-network.ts"
import { BackupStack } from "./backup-stack.ts"
import { parseSettings, type Settings } from "./settings.ts"

const defaultFile = "pgstow.config.json"

const say = (message: string) => void process.stderr.write(`${message}\n`)

/**
 * The settings: from the file that the context "config" names, else from pgstow.config.json where there is one,
 * else from the context "pgstow" in cdk.json.
 */
function readSettings(app: App): Settings {
  const named: unknown = app.node.tryGetContext("config")
  const file = typeof named === "string" ? named : existsSync(defaultFile) ? defaultFile : undefined
  if (file === undefined) return parseSettings(app.node.tryGetContext("pgstow") ?? {}, '"pgstow" in cdk.json')
  try {
    return parseSettings(parseJson(readFileSync(file, "utf8"), file), file, say)
  } catch (cause) {
    if (cause instanceof PgstowError) throw cause
    throw new PgstowError("usage", `the settings in ${file} can't be read`, { cause })
  }
}

try {
  // The region that `cdk deploy` will deploy to; the template itself is for any.
  const region = process.env.CDK_DEFAULT_REGION
  const app = new App(region === undefined ? {} : { context: { [regionContext]: region } })
  new BackupStack(app, readSettings(app))
} catch (error) {
  if (!(error instanceof PgstowError)) throw error
  say(messageOf(error))
  process.exitCode = 1
}
