import type { Scene } from "./scene.ts"

/** Makes a user of a scene's server who is no superuser, and gives what to run the program with as that user. */
export async function limitedUser({ server, database }: Scene, attributes: string) {
  const user = `Limited ${database}`
  await server.psql(`CREATE ROLE "${user}" LOGIN PASSWORD 'pw' ${attributes}`)
  const url = new URL(server.url("postgres"))
  ;[url.username, url.password] = [encodeURIComponent(user), "pw"]
  return { user, env: { DATABASE_URL: url.href } }
}
