import type { Program } from "./program.ts"

/**
 * Runs a program until it ends, is asked to, or its input ends, which it is not given itself: so it does not outlive who
 * started it, however that ends.
 */
const script = `
exec 3<&0 </dev/null
"$@" 3<&- & child=$!
trap 'kill "$child" 2>/dev/null' TERM HUP INT
{ read -r none <&3; kill "$child"; } >/dev/null 2>&1 & watch=$!
exec 3<&-
wait "$child"; status=$?
if kill -0 "$child" 2>/dev/null; then wait "$child"; status=$?; fi
kill "$watch" 2>/dev/null
exit "$status"`

/** What to start, with a pipe for its input, so that a program ends with this process even where that is killed. */
export function tied({ file, args, env }: Program): Program {
  return { file: "sh", args: ["-c", script, "sh", file, ...args], env }
}
