import { PgstowError } from "../errors.ts"

/** How ssh is to be called. */
export type Bastion = {
  readonly words: string
  readonly destination: string
  readonly port: string | undefined
}

/** Reads "user@host:port". Throws a usage error. */
export function parseBastion(text: string): Bastion {
  // Nothing that ssh, or the shell of a ProxyCommand, would take for an option or a command.
  const parts =
    /^(?:([A-Za-z0-9_.][\w.+@-]*)@)?([A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\])(?::(\d+))?$/.exec(
      text,
    )
  const [, user, host = "", port] = parts ?? []
  if (parts === null || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)))
    throw new PgstowError("usage", "--tunnel (PGSTOW_TUNNEL) names no SSH server", {
      hint: "Write it like me@bastion.example.com, or me@bastion.example.com:2222; a password can't be given.",
    })
  const name = host.replace(/^\[(.*)\]$/, "$1")
  return { words: text, destination: user === undefined ? name : `${user}@${name}`, port }
}
