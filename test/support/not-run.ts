/** Why a test can't run here, to be put behind its title; "" where `can` is true: `test.skipIf(why)(`…${why}`, …)`. */
export function notRun(can: boolean, reason: string): string {
  return can ? "" : ` (not run: ${reason})`
}

export const needsLinux = notRun(process.platform === "linux", "this is not Linux")
