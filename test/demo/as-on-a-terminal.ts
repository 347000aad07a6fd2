// Loaded before the program (`node --import`), where what it writes goes through a pipe: it then writes the words
// that a person at a terminal sees, without the progress line, which a pipe could not take back.
const { stderr } = process
const write = stderr.write.bind(stderr)
stderr.isTTY = true
// As a function of one argument: this program writes whole lines and waits for none of them.
stderr.write = (text: string | Uint8Array) => String(text).startsWith("\r\x1b[K") || write(text)
