import { PgstowError } from "../errors.ts"
import type { Bastion } from "./bastion.ts"

/** What is said of it, and what to do. `HOST` stands for how ssh calls the bastion in its file of known hosts. */
type Advice = readonly [pattern: RegExp, what: string | undefined, hint: string]

/** First match wins. */
const advices: readonly Advice[] = [
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed/,
    "its host key is another than the one known here",
    "Someone may be in between, or the bastion was set up again. Ask its administrator for the fingerprint; where it is the one above, remove the old key by `ssh-keygen -R HOST`, connect once by hand, and compare again.",
  ],
  [
    /No .* host key is known for|Host key verification failed/,
    "its host key is not known here",
    "Connect once by hand as the user that runs pgstow (`ssh LOGIN`), compare the fingerprint with the administrator's, and accept it; it is then in ~/.ssh/known_hosts.",
  ],
  [
    /Permission denied \([^)]*(password|keyboard-interactive)/,
    "it asks for a password, or for what a key alone does not give",
    "Nobody can type one here: put the public key of the user that runs pgstow into authorized_keys on the bastion, and name the private one by IdentityFile in ~/.ssh/config. A key with a passphrase needs an ssh-agent.",
  ],
  [
    /UNPROTECTED PRIVATE KEY FILE/,
    "the private key can be read by others, and so ssh does not use it",
    "`chmod 600` the key.",
  ],
  [
    /Permission denied/,
    undefined,
    "Put the public key of the user that runs pgstow into authorized_keys on the bastion, and name the private one by IdentityFile in ~/.ssh/config. A key with a passphrase needs an ssh-agent.",
  ],
  [
    /Could not resolve hostname/,
    undefined,
    "Check the bastion's name, and that this machine can resolve it.",
  ],
  [
    /Connection refused|timed out|No route to host|Network is unreachable|it took more than/,
    undefined,
    "Check the bastion's name and port, and that firewalls let this machine through.",
  ],
  [
    /cannot listen to port|Could not request local forwarding|Address already in use/,
    undefined,
    "Take a LocalForward for this bastion out of ~/.ssh/config, or try again: another program took the port.",
  ],
  [
    /Bad configuration option|Bad owner or permissions|terminating, .* bad configuration/,
    undefined,
    "Look into ~/.ssh/config.",
  ],
]

/** Why ssh could not open the tunnel. */
export function tunnelFailure(
  bastion: Bastion,
  { status, stderr }: { readonly status: number | undefined; readonly stderr: string },
): PgstowError {
  const failed = `the tunnel through ${bastion.words} could not be opened`
  if (status === 127)
    return new PgstowError("postgres", `${failed}: ssh is not installed`, {
      hint: "Install OpenSSH's client (Debian: openssh-client).",
    })
  const [, what, hint = "Try by hand, as the user that runs pgstow: `ssh LOGIN`."] =
    advices.find(([pattern]) => pattern.test(stderr)) ?? []
  const words = what === undefined ? lastWords(stderr) : [what, ...fingerprints(stderr)].join("; ")
  return new PgstowError("postgres", `${failed}: ${words || "ssh ended"}`, { hint: filledIn(hint, bastion) })
}

/** Why ssh ended while it was needed. */
export function brokenTunnel(bastion: Bastion, stderr: string): PgstowError {
  const words = lastWords(stderr)
  return new PgstowError(
    "postgres",
    `the tunnel through ${bastion.words} broke${words === "" ? "" : `: ${words}`}`,
    { hint: "Look at the bastion and the network between, then run it again." },
  )
}

/** What the bastion said where it did not connect to the server. */
export function refusedForward(
  bastion: Bastion,
  server: { readonly address: string; readonly port: string },
  words: string,
): PgstowError {
  const isForbidden = /prohibited/.test(words)
  const hint = isForbidden
    ? "Let this user forward to it, by AllowTcpForwarding and PermitOpen in the bastion's sshd_config, or permitopen in authorized_keys."
    : "Check the host and the port as the bastion knows them, and that it is let in there."
  const place = `${server.address}:${server.port}`
  const what = isForbidden ? "does not forward to" : "could not connect to"
  return new PgstowError("postgres", `${bastion.words} ${what} ${place}: ${words}`, { hint })
}

/** What the warning of a changed host key names: the new key's fingerprint, and where the old one is. */
function fingerprints(stderr: string): string[] {
  const [fingerprint] = /\bSHA256:[A-Za-z0-9+/]+/.exec(stderr) ?? []
  const [, place] = /Offending .* key in (\S+)/.exec(stderr) ?? []
  return [
    ...(fingerprint === undefined ? [] : [`the new one is ${fingerprint}`]),
    ...(place === undefined ? [] : [`the known one is in ${place}`]),
  ]
}

function filledIn(hint: string, { destination, port }: Bastion): string {
  const host = destination.slice(destination.lastIndexOf("@") + 1)
  return hint
    .replace("HOST", port === undefined || port === "22" ? host : `"[${host}]:${port}"`)
    .replace("LOGIN", port === undefined ? destination : `-p ${port} ${destination}`)
}

/** The last lines of what ssh said, on one line. */
function lastWords(stderr: string): string {
  return stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim().replace(/\.$/, ""))
    .filter((line) => line !== "" && !/^channel \d+: open failed/.test(line))
    .slice(-2)
    .join("; ")
}
