// Loaded into the program by NODE_OPTIONS=--import: makes file operations below a folder fail as a broken disk does,
// with the error code, the operation, the folder and after how many, all from FAULTY_FILES="EIO sync /folder 3 1".
// The last number is for how many it fails from then on. It stands for a device that can't be had everywhere.

import { appendFileSync } from "node:fs"
import promises from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"

const [code, operation, folder, after, times, report] = (process.env.FAULTY_FILES ?? "").split(" ")
const numbers = { EIO: 5, ENOSPC: 28, EDQUOT: 122, EROFS: 30, ESTALE: 116, EACCES: 13 }
let seen = 0

function failsNow(path) {
  if (!String(path).startsWith(folder)) return false
  seen += 1
  if (seen <= Number(after) || seen > Number(after) + Number(times)) return false
  appendFileSync(report, `${operation} ${path}\n`)
  return true
}

function failure(path) {
  const error = new Error(`${code}: made up, ${operation} '${path}'`)
  return Object.assign(error, { code, errno: -numbers[code], syscall: operation, path })
}

const own = { ...promises }
for (const name of ["mkdir", "link", "rename", "unlink", "rmdir", "readdir", "lstat", "realpath"]) {
  if (name !== operation) continue
  promises[name] = async (path, ...rest) => {
    if (failsNow(path)) throw failure(path)
    return own[name](path, ...rest)
  }
}
promises.open = async (path, ...rest) => {
  if (operation === "open" && failsNow(path)) throw failure(path)
  const handle = await own.open(path, ...rest)
  for (const name of ["read", "write", "sync", "stat", "close"]) {
    if (name !== operation) continue
    const plain = handle[name].bind(handle)
    handle[name] = async (...args) => {
      if (!failsNow(path)) return plain(...args)
      // A disk may take some of it, and a file is closed all the same.
      if (name === "close") await plain(...args)
      if (name === "write" && Buffer.isBuffer(args[0]))
        await plain(args[0], 0, Math.floor(args[0].length / 2), args[3]).catch(() => {})
      throw failure(path)
    }
  }
  return handle
}
syncBuiltinESMExports()
