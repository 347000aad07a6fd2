import { randomBytes } from "node:crypto"
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { expect } from "vitest"
import { type DoctorOptions, doctor } from "../../task/doctor/doctor.ts"
import type { Finding } from "../../task/doctor/finding.ts"
import type { KeySettings } from "../../task/doctor/keys.ts"
import { testContext } from "../support/context.ts"
import type { PostgresServer } from "../support/postgres.ts"
import { connectionTo } from "../support/session.ts"

/** A database and the role that backs it up, which may connect and nothing else until the test grants it more. */
export type Patient = {
  readonly server: PostgresServer
  readonly database: string
  readonly role: string
  /** Runs SQL in the database as superuser. */
  readonly sql: (sql: string) => Promise<string>
  /** What the doctor finds. */
  readonly examine: (
    options?: Partial<DoctorOptions>,
    env?: Readonly<Record<string, string>>,
  ) => Promise<readonly Finding[]>
  /** Expects one finding of this check, with a fix that is SQL; runs it, and expects that the check is silent then. */
  readonly cure: (check: Finding["check"], options?: Partial<DoctorOptions>) => Promise<Finding>
}

const recipient = await identityToRecipient(await generateX25519Identity())
/** Backups that are sealed for somebody whose key is elsewhere. */
export const sealed: KeySettings = {
  recipients: [recipient],
  unencrypted: false,
  identity: undefined,
  signingKey: undefined,
  signedBy: [],
}

export async function makePatient(server: PostgresServer): Promise<Patient> {
  const database = await server.createDatabase()
  const role = `doctor_${randomBytes(6).toString("hex")}`
  await server.psql(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`)
  const connection = { ...connectionTo(server, database, { user: role }), password: "pw" }
  const sql: Patient["sql"] = (text) => server.psql(text, database)
  const examine: Patient["examine"] = async (options, env = {}) => {
    const { findings } = await doctor(
      {
        connection,
        clientFolders: [server.binDir],
        jobs: 2,
        deep: false,
        storages: [],
        name: undefined,
        keys: sealed,
        use: { verify: true, cleanup: false },
        ...options,
      },
      testContext({ env }),
    )
    return findings
  }
  return {
    server,
    database,
    role,
    sql,
    examine,
    cure: async (check, options) => {
      const [finding, ...others] = (await examine(options)).filter((one) => one.check === check)
      if (finding === undefined) throw new Error(`the doctor does not find ${check}`)
      expect(others).toEqual([])
      // Not in one transaction, which ALTER SYSTEM and REINDEX do not take.
      for (const statement of finding.fix.split(/(?<=;)\s+(?=(?:SELECT|ALTER|REINDEX)\b)/))
        await sql(statement)
      expect((await examine(options)).filter((one) => one.check === check)).toEqual([])
      return finding
    },
  }
}
