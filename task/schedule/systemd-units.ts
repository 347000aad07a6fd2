import type { Schedule } from "./schedule.ts"

/** The text of a hardened service and of the timer that starts it, for systemd 247 and newer. */
export function systemdUnits(schedule: Schedule): { readonly service: string; readonly timer: string } {
  return { service: service(schedule), timer: timer(schedule) }
}

function service({
  name,
  program,
  settingsFile,
  configFile,
  signingKeyFile,
  user,
  writes,
  needsHome,
  needsTmp,
}: Schedule): string {
  const [node = "", ...script] = program
  // systemd replaces the variable by the folder that it has put the credentials into.
  const credential = (called: string) => `\${CREDENTIALS_DIRECTORY}/${called}`
  const signing = signingKeyFile === undefined ? [] : [`--signing-key=${credential("signing-key")}`]
  const command = [
    quote(node),
    ...(settingsFile === undefined ? [] : [`--env-file=${credential("settings")}`]),
    ...script.map(quote),
    "backup",
    ...(configFile === undefined ? [] : [quote(`--config=${configFile}`)]),
    ...signing,
  ]
  const credentials = [
    ...(settingsFile === undefined ? [] : [["settings", settingsFile]]),
    ...(signingKeyFile === undefined ? [] : [["signing-key", signingKeyFile]]),
  ].map(([called, file = ""]) => `LoadCredential=${called}:${literal(file)}\n`)
  return `# Made by \`pgstow schedule\`. ${name}.timer starts it.
[Unit]
Description=Back up PostgreSQL with pgstow
Documentation=man:pg_dump(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=${command.join(" ")}
${user === undefined ? "DynamicUser=yes" : `User=${user}`}

# Its secrets, readable by the service alone.
${credentials.join("")}${writes.map((folder) => `ReadWritePaths=${quote(folder)}\n`).join("")}WorkingDirectory=/
UMask=0077

# It reads a database and writes its backups: nothing else.
ProtectSystem=strict
ProtectHome=${needsHome ? "read-only" : "yes"}
PrivateTmp=${needsTmp ? "no" : "yes"}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

# Others go first; an interrupted backup has 10 s to end its uploads.
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
TimeoutStartSec=infinity
TimeoutStopSec=20
`
}

function timer({ name, hour, minute }: Schedule): string {
  return `# Made by \`pgstow schedule\`.
[Unit]
Description=Back up PostgreSQL with pgstow every day

[Timer]
OnCalendar=*-*-* ${twoDigits(hour)}:${twoDigits(minute)}:00
# A machine that was off at that time makes up for it.
Persistent=yes
AccuracySec=1min
Unit=${name}.service

[Install]
WantedBy=timers.target
`
}

/** As systemd reads a command line: its own specifiers and variables, quotes and backslashes taken as they are. */
function quote(text: string): string {
  const escaped = literal(text).replaceAll("$", "$$$$")
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll(/["\\]/g, "\\$&")}"`
}

function literal(text: string): string {
  return text.replaceAll("%", "%%")
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0")
}
