import { generateHybridIdentity, generateIdentity, identityToRecipient } from "age-encryption"
import { describe, expect, it } from "vitest"
import { parseRecipients } from "../../task/keys/recipients.ts"

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

/** A recipient of a hardware key: https://c2sp.org/age-tag */
const tag = "age1tag1qv0ps5e06365cqhnqswecawwkvac8l7crtruunlgstxtrjvtckykuxc64jj"

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
        expect(parse).toThrow("recipient 2 of 2 is an identity, the secret key, and was not used")
        expect(parse).not.toThrow(identity.slice(-20))
      }
  })

  it.each([
    ["", "the recipient is empty"],
    ["correct horse battery staple", "the recipient is not an age recipient"],
    [
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
      "the recipient is an SSH key (ssh-ed25519), a kind that pgstow can't encrypt for",
    ],
    [
      "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABg me@here",
      "the recipient is an SSH key (ssh-rsa), a kind that pgstow can't encrypt for",
    ],
    [
      "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY",
      "the recipient is an SSH key (ecdsa-sha2-nistp256), a kind that pgstow can't encrypt for",
    ],
    [recipient.toUpperCase(), "the recipient is not an age recipient"],
    [
      recipient.replace("8p", "8q"),
      "the recipient, age1ql3z7hjy54pw…, is not valid: some of its characters are missing, wrong or in another order",
    ],
    [
      recipient.slice(0, -1),
      "the recipient, age1ql3z7hjy54pw…, is not valid: it has 61 characters in place of 62",
    ],
    [
      recipient.replace("8p", "8b"),
      'the recipient, age1ql3z7hjy54pw…, is not valid: a recipient has no "b" there',
    ],
    [
      recipient.replace("8p", "1p"),
      'the recipient, age1ql3z7hjy54pw…, is not valid: a recipient has no "1" there',
    ],
    [`${recipient},`, 'the recipient, age1ql3z7hjy54pw…, is not valid: a recipient has no "," there'],
    ["age1...", 'the recipient, age1..., is not valid: a recipient has no "." there'],
    [
      `age1${"q".repeat(2000)}`,
      "the recipient, age1qqqqqqqqqqqq…, is not valid: it has 2004 characters in place of 62",
    ],
    [
      "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
      'the recipient, age1yubikey1qwt5…, is of the age plugin "yubikey", a kind that pgstow can\'t encrypt for',
    ],
  ])("are refused where they are none: %s", (text, message) => {
    expect(() => parseRecipients([text])).toThrow(expect.objectContaining({ kind: "key", message }))
  })

  it("of the classic and the hybrid kind are not mixed, and the refusal names both", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    for (const both of [
      [recipient, hybrid],
      [hybrid, recipient],
    ]) {
      const parse = () => parseRecipients(both)
      expect(parse).toThrow(
        `classic and hybrid recipients are mixed: age1ql3z7hjy54pw… is classic, ${hybrid.slice(0, 16)}… is hybrid (post-quantum)`,
      )
      expect(parse).toThrow(
        expect.objectContaining({ kind: "key", hint: expect.stringContaining("one kind") as unknown }),
      )
    }
    const other = await identityToRecipient(await generateHybridIdentity())
    expect(parseRecipients([hybrid, other])).toEqual([hybrid, other])
  })

  it("of hardware keys are taken beside one whose key opens backups here, of the same kind", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    expect(parseRecipients([recipient, tag])).toEqual([recipient, tag])
    expect(() => parseRecipients([hybrid, tag])).toThrow("classic and hybrid recipients are mixed")
    expect(() => parseRecipients([tag])).toThrow(
      "age1tag1qv0ps5e0… belongs to a hardware key, which pgstow can't open backups with",
    )
  })

  it("that are damaged are told of by what is wrong, and which of several", async () => {
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    expect(() => parseRecipients([recipient, hybrid.slice(0, -1)])).toThrow(
      /^recipient 2 of 2, age1pq1\w{9}…, is not valid: some of its characters are missing, wrong or in another order$/,
    )
  })
})
