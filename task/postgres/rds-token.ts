import { Signer } from "@aws-sdk/rds-signer"
import { PgstowError } from "../errors.ts"
import { type Connection, describe } from "./connection.ts"

/**
 * The connection with a token of RDS IAM authentication for its password, made with the AWS credentials at hand.
 * A token opens connections for 15 minutes; those that are open by then stay.
 */
export async function withRdsToken(connection: Connection): Promise<Connection> {
  const { host, port, user } = connection.params
  if (host === undefined || user === undefined)
    throw new PgstowError("usage", "RDS IAM authentication needs a host and a user", {
      hint: "Set PGHOST and PGUSER, or name both in DATABASE_URL.",
    })
  const signer = new Signer({ hostname: host, port: Number(port ?? 5432), username: user })
  const password = await signer.getAuthToken().catch((cause: unknown) => {
    throw new PgstowError("postgres", `no RDS token could be made for ${describe(connection)}`, {
      cause,
      hint: "Check the AWS credentials and the region (AWS_REGION).",
    })
  })
  return { ...connection, password }
}
