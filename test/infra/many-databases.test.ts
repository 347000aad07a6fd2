import { describe, expect, it } from "vitest"
import { filled, synthesize } from "./synthesize.ts"

/** A database with a name as long as names may be. */
const database = (index: number) => ({
  name: `database-${String(index).padStart(31, "0")}`,
  connection: { urlSecret: `pgstow/database-${index}` },
  retention: { keepDaily: 7, keepWeekly: 5, keepMonthly: 12, keepYearly: 3 },
})

describe.each([1, 25, 100])("a stack of %i databases", (count) => {
  const { counts, outputs, resources } = synthesize({
    databases: Array.from({ length: count }, (_, index) => database(index)),
  })
  const of = (type: string) => Object.values(resources).filter(({ Type }) => Type === type)

  it("keeps to what CloudFormation holds: 500 resources a stack, 200 outputs", () => {
    expect(counts).toHaveLength(1 + count)
    for (const resourcesOfStack of counts) expect(resourcesOfStack).toBeLessThanOrEqual(500)
    expect(Object.keys(outputs).length).toBeLessThanOrEqual(200)
  })

  it("starts backups at their time where there are few, and spread over half an hour otherwise", () => {
    const backups = of("AWS::Scheduler::Schedule").filter(({ Properties }) =>
      String(Properties.Name).startsWith("Pgstow-backup-"),
    )
    expect(backups).toHaveLength(count)
    const window = count > 4 ? { Mode: "FLEXIBLE", MaximumWindowInMinutes: 30 } : { Mode: "OFF" }
    for (const { Properties } of backups) expect(Properties.FlexibleTimeWindow).toEqual(window)
  })

  it("has patterns of events that EventBridge takes: 2,048 characters", () => {
    for (const { Properties } of of("AWS::Events::Rule"))
      expect(JSON.stringify(filled(Properties.EventPattern)).length).toBeLessThan(2048)
  })

  it("has functions whose environment Lambda takes: 4 KB", () => {
    for (const { Properties } of of("AWS::Lambda::Function"))
      expect(JSON.stringify(filled(Properties.Environment ?? {})).length).toBeLessThan(4096)
  })

  it("has policies that a role takes: 10,240 characters", () => {
    for (const { Properties } of of("AWS::IAM::Policy"))
      expect(JSON.stringify(filled(Properties.PolicyDocument)).length).toBeLessThan(10_240)
  })
})
