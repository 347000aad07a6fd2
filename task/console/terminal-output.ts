import { Writable } from "node:stream"
import { StringDecoder } from "node:string_decoder"
import { formatText } from "./format.ts"

/**
 * Where text that others wrote may go: `output` itself where it is a file or a program's input, which get every byte
 * as it is. On a terminal all that could move or turn text there is made visible.
 */
export function terminalOutput(output: Writable & { readonly isTTY?: boolean }): Writable {
  if (output.isTTY !== true) return output
  const decoder = new StringDecoder("utf8")
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => void output.write(formatText(decoder.write(chunk)), done),
  })
}
