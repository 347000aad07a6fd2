import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, readlinkSync } from "node:fs"
import fsPromises, {
  mkdir,
  mkdtemp,
  readdir,
  rm,
  stat,
  statfs,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { startChild } from "../../task/processes/child.ts"
import { openStorage } from "../../task/storage/open-storage.ts"
import {
  NotAnObjectError,
  ObjectExistsError,
  ObjectNotFoundError,
  type Storage,
} from "../../task/storage/storage.ts"
import { bytesOf } from "../support/bytes.ts"
import { makeReadOnly, needsMount, smallDisk } from "../support/disk.ts"
import { rejectionOf } from "../support/failure.ts"
import { notRun } from "../support/not-run.ts"
import { contentOf, keysOf } from "../support/storage-contents.ts"
import { storageContract } from "./storage-contract.ts"

const isRoot = process.getuid?.() === 0
const nobody = 65_534
const needsProc = notRun(existsSync("/proc/self/fd"), "there is no /proc")

storageContract("a directory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-file-"))
  return {
    open: (name, options) => openStorage(`file://${folder}/${name}`, { env: {}, ...options }),
    close: () => rm(folder, { recursive: true }),
  }
})

storageContract("a directory on a file system without hard links", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-file-"))
  const { link } = fsPromises
  // What exFAT and SMB answer; none of them can be had on every machine that runs this.
  fsPromises.link = () =>
    Promise.reject(Object.assign(new Error("operation not permitted"), { code: "EPERM" }))
  syncBuiltinESMExports()
  return {
    open: (name, options) => openStorage(`file://${folder}/${name}`, { env: {}, ...options }),
    close: async () => {
      fsPromises.link = link
      syncBuiltinESMExports()
      await rm(folder, { recursive: true })
    },
  }
})

describe("a directory", () => {
  let parent: string
  let folder: string
  let storage: Storage

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), "pgstow-file-"))
    folder = join(parent, "backups")
    storage = openStorage(folder, { env: {} })
  })
  afterEach(() => rm(parent, { recursive: true, force: true }))

  test("is readable by its owner alone, whatever the umask", async () => {
    const before = process.umask(0)
    await storage.put("a/b/object", Buffer.from("x"))
    process.umask(before)
    for (const path of ["", "a", "a/b"]) expect((await stat(join(folder, path))).mode & 0o777).toBe(0o700)
    expect((await stat(join(folder, "a/b/object"))).mode & 0o777).toBe(0o600)
  })

  test("keeps what is being written under a name that is never listed", async () => {
    const writer = await storage.create("a/object")
    await writer.write(Buffer.from("x"))
    expect(await readdir(join(folder, "a"))).toEqual([expect.stringMatching(/^\.[0-9a-f]{16}\.tmp$/)])
    expect(await keysOf(storage)).toEqual([])
    await writer.finish()
    expect(await readdir(join(folder, "a"))).toEqual(["object"])
  })

  test("is left empty, but there, when all is removed", async () => {
    await storage.put("a/b/object", Buffer.from("x"))
    await storage.remove(["a/b/object"])
    expect(await readdir(folder)).toEqual([])
  })

  test("holding other people's files, lists none that could be no object", async () => {
    await storage.put("object", Buffer.from("x"))
    for (const name of ["read me.txt", "é", ".old.tmp"]) await writeFile(join(folder, name), "")
    await mkdir(join(folder, "empty"))
    expect(await keysOf(storage)).toEqual(["object"])
    expect(await storage.listKeys("")).toEqual(["object"])
    expect(await storage.listFolders("")).toEqual([])
    expect(await storage.listFolders("", { evenEmpty: true })).toEqual(["empty"])
  })

  test("whose writer is killed shows nothing of it, and is tidied afterwards", async () => {
    const module = new URL("../../task/storage/open-storage.ts", import.meta.url)
    const script = `
      const { openStorage } = await import(${JSON.stringify(module.href)})
      const writer = await openStorage(${JSON.stringify(folder)}, { env: {} }).create("a/object")
      await writer.write(Buffer.alloc(1_000_000))
      console.log("written")
      setInterval(() => {}, 1000)`
    const child = startChild(
      { file: process.execPath, args: ["--input-type=module", "-e", script], env: process.env },
      { stdout: "pipe" },
    )
    await once(child.stdout, "data")
    child.kill("SIGKILL")
    await expect(child.ended).rejects.toThrow("SIGKILL")
    expect(await keysOf(storage)).toEqual([])
    await expect(storage.read("a/object")).rejects.toThrow(ObjectNotFoundError)
    expect(await storage.removeStaleUploads("", new Date(Date.now() + 1_000))).toBe(1)
    expect(await readdir(folder)).toEqual([])
  })

  test("does not follow symbolic links out of it", async () => {
    const outside = join(parent, "outside")
    await mkdir(outside)
    await writeFile(join(outside, "secret"), "secret")
    await storage.put("object", Buffer.from("x"))
    await symlink(outside, join(folder, "link"))
    await symlink(join(outside, "secret"), join(folder, "alias"))
    expect(await keysOf(storage)).toEqual(["object"])
    const attempts = [
      storage.put("link/new", Buffer.from("x")),
      storage.read("link/secret"),
      storage.readAtMost("link/secret", 1),
      keysOf(storage, "link/"),
      storage.listKeys("link/"),
      storage.remove(["link/secret"]),
    ]
    for (const failure of await Promise.all(attempts.map(rejectionOf)))
      expect(failure.message).toMatch(/a symbolic link is in the way$/)
    for (const reading of [() => storage.read("alias"), () => storage.readAtMost("alias", 1)])
      expect(await rejectionOf(reading())).toMatchObject({
        kind: "damaged",
        message: `${folder} has a symbolic link in the place of the object alias`,
      })
    await storage.put("alias", Buffer.from("ours"))
    expect(await readdir(outside)).toEqual(["secret"])
    expect(await fsPromises.readFile(join(outside, "secret"), "utf8")).toBe("secret")
  })

  describe("with something that is no file in the place of an object", () => {
    let server: Server
    beforeEach(async () => {
      await storage.put("a/object", Buffer.from("x"))
      execFileSync("mkfifo", [join(folder, "a/fifo")])
      server = createServer().listen(join(folder, "a/socket"))
      await once(server, "listening")
    })
    afterEach(() => void server.close())

    test.each(["fifo", "socket"])("neither waits for a %s nor takes it for an object", async (name) => {
      const what = name === "fifo" ? "FIFO" : name
      const failure = await rejectionOf(storage.read(`a/${name}`))
      expect(failure).toBeInstanceOf(NotAnObjectError)
      expect(failure.message).toBe(`${folder} has a ${what} in the place of the object a/${name}`)
      expect(failure.hint).toContain("Put back the file")
      expect(await storage.stat(`a/${name}`)).toBeUndefined()
      expect(await keysOf(storage)).toEqual(["a/object"])
      const putting = storage.put(`a/${name}`, Buffer.from("x"), { ifAbsent: true })
      await expect(putting).rejects.toThrow(ObjectExistsError)
      await storage.remove([`a/${name}`])
      await expect(storage.read(`a/${name}`)).rejects.toThrow(ObjectNotFoundError)
    })

    test.skipIf(needsMount)(`never opens a device${needsMount}`, async () => {
      // Opened, a terminal like this one would wait for somebody to call.
      execFileSync("mknod", [join(folder, "a/device"), "c", "4", "64"])
      const failure = await rejectionOf(storage.read("a/device"))
      expect(failure.message).toBe(`${folder} has a device in the place of the object a/device`)
    })
  })

  test("may itself be a symbolic link", async () => {
    await mkdir(join(parent, "elsewhere"))
    await symlink(join(parent, "elsewhere"), folder)
    await storage.put("a/object", Buffer.from("x"))
    expect(await contentOf(storage, "a/object")).toEqual(Buffer.from("x"))
    expect(await readdir(join(parent, "elsewhere"))).toEqual(["a"])
  })

  describe("that is a symbolic link to nothing, as where a disk is not mounted", () => {
    const attempts: readonly (readonly [string, (storage: Storage) => Promise<unknown>])[] = [
      ["storing", (storage) => storage.put("a/b/object", Buffer.from("x"))],
      ["beginning an upload", (storage) => storage.create("a/object")],
      ["a probe", (storage) => storage.probe("a/probe")],
      ["listing", (storage) => keysOf(storage)],
      ["listing keys", (storage) => storage.listKeys("")],
      ["listing folders", (storage) => storage.listFolders("")],
      ["reading", (storage) => storage.read("a/object")],
      ["reading its first bytes", (storage) => storage.readAtMost("a/object", 1)],
      ["looking", (storage) => storage.stat("object")],
    ]
    test.each(attempts)("%s names the link and what it leads to", async (_, attempt) => {
      await symlink("../disk/backups", folder)
      const below = openStorage(`${folder}/orders`, { env: {} })
      for (const linked of [storage, below]) {
        const failure = await rejectionOf(attempt(linked))
        expect(failure.kind).toBe("storage")
        expect(failure.message).toContain(
          ` in ${linked.url}: ${folder} is a symbolic link to ${join(parent, "../disk/backups")}, which does not exist`,
        )
        expect(failure.hint).toBe("Mount the disk that is meant, or correct the link.")
      }
      expect(await readdir(parent)).toEqual(["backups"])
    })
  })

  test.skipIf(needsProc)(`where no folder can be made says so${needsProc}`, async () => {
    const impossible = openStorage("/proc/backups", { env: {} })
    for (const attempt of [
      () => impossible.put("a/object", Buffer.from("x")),
      () => impossible.probe("a/probe"),
    ]) {
      const failure = await rejectionOf(attempt())
      expect(failure.kind).toBe("storage")
      expect(failure.message).toMatch(/ in \/proc\/backups: no folder can be made at \/proc\/backups\/a$/)
      expect(failure.hint).toContain("Give a folder")
    }
  })

  test("with a file in the place of a folder says so", async () => {
    await writeFile(folder, "")
    const attempts = [storage.put("object", Buffer.from("x")), keysOf(storage)]
    for (const failure of await Promise.all(attempts.map(rejectionOf))) {
      expect(failure.kind).toBe("storage")
      expect(failure.message).toContain(`in ${folder}: a file is where a folder should be`)
      expect(failure.hint).toBe("Give a folder.")
    }
  })

  test("with an object that is cut short while it is read fails", async () => {
    await storage.put("object", Buffer.alloc(4_000_000))
    const reading = await storage.read("object")
    await truncate(join(folder, "object"), 1_000_000)
    const failure = await rejectionOf(bytesOf(reading))
    expect(failure.message).toContain(
      `cannot read object in ${folder}: the file ends at byte 1000000 of 4000000`,
    )
  })

  test.skipIf(needsProc)(`tells of a file that was read and can't be closed${needsProc}`, async () => {
    await storage.put("object", Buffer.alloc(1_000_000))
    const stream = await storage.read("object")
    const [open] = (await readdir("/proc/self/fd")).filter(
      (fd) => linkOf(`/proc/self/fd/${fd}`) === join(folder, "object"),
    )
    closeSync(Number(open))
    const closed = once(stream, "close")
    stream.destroy()
    const failure = await rejectionOf(closed)
    expect(failure.kind).toBe("storage")
    expect(failure.message).toContain("cannot read object in")
  })

  test.skipIf(needsProc)(`keeps no file open that is no longer read or written${needsProc}`, async () => {
    await storage.put("object", Buffer.alloc(1_000_000))
    const openFiles = async () => {
      const files = (await readdir("/proc/self/fd")).map((fd) => linkOf(`/proc/self/fd/${fd}`))
      return files.filter((file) => file.startsWith(folder))
    }
    for (let turn = 0; turn < 20; turn++) {
      const unread = await storage.read("object")
      const closed = once(unread, "close")
      unread.destroy()
      await closed
      await contentOf(storage, "object")
      const writer = await storage.create("other")
      await writer.abort()
    }
    expect(await openFiles()).toEqual([])
  })

  test("that its user may not write to says so", async () => {
    await storage.put("object", Buffer.from("x"))
    await fsPromises.chmod(parent, 0o755)
    await fsPromises.chmod(folder, 0o555)
    if (isRoot) process.seteuid?.(nobody)
    const attempts: Promise<unknown>[] = [
      storage.put("new", Buffer.from("x")),
      storage.create("a/b"),
      storage.probe("probe"),
      storage.remove(["object"]),
    ]
    if (isRoot) attempts.push(storage.read("object"))
    const failures = await Promise.all(attempts.map(rejectionOf))
    if (isRoot) process.seteuid?.(0)
    for (const failure of failures) {
      expect(failure.message).toContain(`in ${folder}: permission denied`)
      expect(failure.hint).toContain("Let the user that runs pgstow read and write there")
    }
  })

  test("whose files are limited in size fails, and keeps nothing of the file", async () => {
    const module = new URL("../../task/storage/open-storage.ts", import.meta.url)
    const script = `
      const { openStorage } = await import(${JSON.stringify(module.href)})
      const storage = openStorage(${JSON.stringify(folder)}, { env: {} })
      await storage.put("a/object", Buffer.alloc(3_000_000)).catch(({ message }) => console.log(message))`
    const output = execFileSync(
      "sh",
      ["-c", 'ulimit -f 2048; exec "$0" --input-type=module -e "$1"', process.execPath, script],
      { encoding: "utf8" },
    )
    expect(output).toContain("the file is larger than is allowed there")
    expect(await readdir(folder)).toEqual([])
  })
})

describe.skipIf(needsMount)(`a directory on a disk of 4 MB${needsMount}`, () => {
  let disk: string
  let storage: Storage

  beforeEach(async () => {
    disk = await smallDisk()
    storage = openStorage(disk, { env: {} })
  })

  test("that is full says so, and an upload that is given up frees what it took", async () => {
    await storage.put("kept", Buffer.from("x"))
    const before = await statfs(disk)
    const writer = await storage.create("a/object")
    const failure = await rejectionOf(writer.write(Buffer.alloc(5_000_000)))
    expect(failure.message).toBe(`cannot write a/object in ${disk}: the disk is full`)
    expect(failure.hint).toContain("Free some space there")
    expect(await rejectionOf(writer.finish())).toBe(failure)
    await writer.abort()
    expect((await statfs(disk)).bfree).toBe(before.bfree)
    expect(await readdir(disk)).toEqual(["kept"])
  })

  test("that is full fails a probe, which leaves nothing", async () => {
    const ballast = join(disk, "ballast")
    const { bavail, bsize } = await statfs(disk)
    await writeFile(ballast, Buffer.alloc(bavail * bsize - 16_384))
    const failure = await rejectionOf(storage.probe("a/probe"))
    expect(failure.message).toBe(`cannot write a/probe in ${disk}: the disk is full`)
    expect(await readdir(disk)).toEqual(["ballast"])
  })

  test("that fills up while an object is stored at once keeps nothing of it", async () => {
    const putting = storage.put("a/object", Buffer.alloc(5_000_000), { ifAbsent: true })
    expect((await rejectionOf(putting)).message).toContain("the disk is full")
    expect(await readdir(disk)).toEqual([])
  })

  test("that is mounted read-only says so", async () => {
    await storage.put("object", Buffer.from("x"))
    makeReadOnly(disk)
    const attempts = [storage.put("new", Buffer.from("x")), storage.remove(["object"])]
    for (const failure of await Promise.all(attempts.map(rejectionOf))) {
      expect(failure.message).toContain(`in ${disk}: the file system is read-only`)
      expect(failure.hint).toContain("Mount it for writing")
    }
    expect(await contentOf(storage, "object")).toEqual(Buffer.from("x"))
  })
})

/** What a link leads to; "" where it is gone. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ""
  }
}
