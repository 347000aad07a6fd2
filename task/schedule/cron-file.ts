import { shellWord } from "../processes/shell-word.ts"
import type { Schedule } from "./schedule.ts"

/** The text of a file for /etc/cron.d. Cron mails what the program says where it fails. */
export function cronFile({
  program,
  settingsFile,
  configFile,
  hour,
  minute,
  user = "root",
}: Schedule): string {
  const [node = "", ...script] = program
  const environment = settingsFile === undefined ? [] : [`--env-file=${settingsFile}`]
  const config = configFile === undefined ? [] : [`--config=${configFile}`]
  const command = [node, ...environment, ...script, "backup", ...config].map(quote).join(" ")
  return `# Made by \`pgstow schedule --cron\`.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
${minute} ${hour} * * * ${user} ${command}
`
}

/** As the shell reads it, behind cron, which takes a bare % for the end of the line. */
function quote(text: string): string {
  return shellWord(text).replaceAll("%", "\\%")
}
