import { Signer } from "@aws-sdk/rds-signer"
import { PgstowError } from "../errors.ts"
import { type Connection, describe } from "./connection.ts"

/** A token opens connections for 15 minutes; those that are open by then stay. */
const renewEveryMs = 5 * 60_000

/**
 * The connection with a token of RDS IAM authentication for its password, made with the AWS credentials at hand, and
 * made again for as long as the program runs: a backup opens connections until its end.
 */
export async function withRdsToken(
  connection: Connection,
  options: { readonly renewEveryMs?: number } = {},
): Promise<Connection> {
  const { host, port, user } = connection.params
  if (host === undefined || user === undefined)
    throw new PgstowError("usage", "RDS IAM authentication needs a host and a user", {
      hint: "Set PGHOST and PGUSER, or name both in DATABASE_URL.",
    })
  const signer = new Signer({ hostname: host, port: Number(port ?? 5432), username: user })
  let token = await signer.getAuthToken().catch((cause: unknown) => {
    throw new PgstowError("postgres", `no RDS token could be made for ${describe(connection)}`, {
      cause,
      hint: "Check the AWS credentials and the region (AWS_REGION).",
    })
  })
  const renew = async () => {
    // The one before serves for two more tries; after that the server says that it is too old.
    token = await signer.getAuthToken().catch(() => token)
  }
  setInterval(() => void renew(), options.renewEveryMs ?? renewEveryMs).unref()
  return { ...connection, password: () => token }
}
