import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

/** Makes a key and a certificate for 127.0.0.1 and localhost, both in PEM. Needs the program openssl. */
export async function selfSignedCertificate(): Promise<{ key: string; cert: string }> {
  const folder = await mkdtemp(join(tmpdir(), "pgstow-certificate-"))
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
  try {
    await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", cert])
    return { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") }
  } finally {
    await rm(folder, { recursive: true })
  }
}
