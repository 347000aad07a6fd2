import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager"
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption"
import * as z from "zod"
import { messageOf, PgstowError } from "../task/errors.ts"
import { lambdaHandler } from "./handler.ts"

/** What CloudFormation sends a custom resource. */
const makeKeyEvent = z.object({
  RequestType: z.enum(["Create", "Update", "Delete"]),
  ResponseURL: z.url(),
  StackId: z.string(),
  RequestId: z.string(),
  LogicalResourceId: z.string(),
  ResourceProperties: z.object({
    secretArn: z.string(),
    /** Whether the secret is somebody else's, who has put an identity there. CloudFormation makes it a text. */
    existing: z.literal("true").optional(),
    /** Of which kind the key must be: another one could not be used beside the recipients in the settings. */
    kind: z.enum(["classic", "hybrid"]).optional(),
  }),
})

const secrets = new SecretsManagerClient()

/**
 * Sees to it that the secret holds an age identity, and tells CloudFormation the recipient. An identity that is
 * there stays, whatever the request: with it go all backups.
 */
export const handler = lambdaHandler(makeKeyEvent, z.object({}), async (event) => {
  const { secretArn, existing, kind } = event.ResourceProperties
  const answer = async (outcome: { Status: "SUCCESS" | "FAILED"; Reason?: string; Data?: object }) => {
    const { StackId, RequestId, LogicalResourceId } = event
    const ids = { StackId, RequestId, LogicalResourceId, PhysicalResourceId: secretArn }
    const body = JSON.stringify({ ...outcome, ...ids })
    // The URL is signed without a content type, and fetch would add one of its own.
    const headers = { "content-type": "" }
    const response = await fetch(event.ResponseURL, { method: "PUT", body, headers })
    if (!response.ok)
      throw new PgstowError("unexpected", `CloudFormation refused the answer: ${response.status}`)
  }
  try {
    const Data =
      event.RequestType === "Delete"
        ? {}
        : { recipient: await recipientOf(secretArn, existing === "true", kind) }
    await answer({ Status: "SUCCESS", Data })
  } catch (error) {
    // Without an answer the deployment would wait for an hour.
    const hint = error instanceof PgstowError && error.hint !== undefined ? `. ${error.hint}` : ""
    await answer({ Status: "FAILED", Reason: `${messageOf(error)}${hint}` })
    throw error
  }
})

async function recipientOf(
  secretArn: string,
  existing: boolean,
  kind: "classic" | "hybrid" | undefined,
): Promise<string> {
  const kept = await readSecret(secretArn)
  if (kept === undefined && existing)
    throw new PgstowError("key", `the secret ${secretArn} holds nothing`, {
      hint: "Put an age identity into it, or leave the setting identity out, to have one made.",
    })
  const generate = kind === "hybrid" ? generateHybridIdentity : generateX25519Identity
  const [identity] = kept === undefined ? [await generate()] : linesOf(kept)
  if (identity === undefined || !/^AGE-SECRET-KEY-(PQ-)?1/.test(identity))
    throw new PgstowError("key", `the secret ${secretArn} holds something else than an age identity`, {
      hint: "It is not overwritten. Put the identity back from the off-line copy.",
    })
  const found = identity.startsWith("AGE-SECRET-KEY-PQ-1") ? "hybrid" : "classic"
  if (kind !== undefined && kind !== found)
    throw new PgstowError(
      "key",
      `the secret ${secretArn} holds a ${found} key, and the settings ask for a ${kind} one`,
      {
        hint: `Put a ${kind} key before it (\`pgstow keygen${kind === "hybrid" ? " --hybrid" : ""}\`) and raise keyVersion, or have recipients and identity of one kind: age mixes none.`,
      },
    )
  const recipient = await identityToRecipient(identity)
  if (kept === undefined)
    await secrets.send(new PutSecretValueCommand({ SecretId: secretArn, SecretString: identity }))
  return recipient
}

/** The lines of an age identity file, without its comments. After a rotation the newest key stands first. */
function linesOf(text: string): string[] {
  return text.split(/\s*\n\s*/).filter((line) => line !== "" && !line.startsWith("#"))
}

/** The secret's text; undefined where it has none yet. */
async function readSecret(secretArn: string): Promise<string | undefined> {
  try {
    const { SecretString } = await secrets.send(new GetSecretValueCommand({ SecretId: secretArn }))
    return SecretString?.trim() || undefined
  } catch (error) {
    if (error instanceof ResourceNotFoundException) return undefined
    throw error
  }
}
