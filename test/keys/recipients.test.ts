import { generateHybridIdentity, generateIdentity, identityToRecipient } from "age-encryption"
import { describe, expect, it } from "vitest"
import { parseRecipients } from "../../task/keys/recipients.ts"

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

describe("recipients", () => {
  it("come back each once, trimmed, in their order", async () => {
    const other = await identityToRecipient(await generateIdentity())
    expect(parseRecipients([`  ${recipient}\n`, other, recipient])).toEqual([recipient, other])
  })

  it("may be of the post-quantum kind", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    expect(parseRecipients([hybrid])).toEqual([hybrid])
  })

  it("are never a secret key, which no message repeats", async () => {
    for (const identity of [await generateIdentity(), await generateHybridIdentity()])
      for (const text of [identity, identity.toLowerCase(), `# a key\n${identity}`]) {
        const parse = () => parseRecipients([recipient, text])
        expect(parse).toThrow("recipient 2 is an identity, the secret key, and was not used")
        expect(parse).not.toThrow(identity.slice(-20))
      }
  })

  it.each([
    ["", "recipient 1 is empty"],
    ["correct horse battery staple", "recipient 1 is not an age recipient"],
    ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "recipient 1 is not an age recipient"],
    [recipient.toUpperCase(), "recipient 1 is not an age recipient"],
    [recipient.replace("8p", "8q"), `recipient 1 is not valid: ${recipient.replace("8p", "8q")}`],
    [recipient.slice(0, -1), `recipient 1 is not valid: ${recipient.slice(0, -1)}`],
    [`age1${"q".repeat(2000)}`, `recipient 1 is not valid: age1${"q".repeat(76)}…`],
  ])("are refused where they are none: %s", (text, message) => {
    expect(() => parseRecipients([text])).toThrow(expect.objectContaining({ kind: "key", message }))
  })
})
