const bars = "▁▂▃▄▅▆▇█"

/** A character for each value, as high as it is from 0 on: "▁▃▆█". Values are not negative. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values)
  return values
    .map((value) => bars[most > 0 ? Math.min(bars.length - 1, Math.floor((value / most) * bars.length)) : 0])
    .join("")
}
