import { pythonTools } from "../support/python-tools.ts"

/** The folder of an AWS emulator with what it needs to run tasks, the linter of templates, and AWS's own command line. */
export function awsTools(): string {
  return pythonTools(["ministack==1.5.33", "docker==7.2.0", "cfn-lint==1.58.0", "awscli==1.46.3"])
}
