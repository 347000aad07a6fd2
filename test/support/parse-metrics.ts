import { createRequire } from "node:module"
import * as z from "zod"

const families = z.array(
  z.strictObject({
    name: z.string(),
    help: z.string().min(1),
    type: z.literal("GAUGE"),
    metrics: z.array(
      z.strictObject({ value: z.string(), labels: z.record(z.string(), z.string()).optional() }),
    ),
  }),
)

/** It has no types of its own. */
const parse = z.function({ input: [z.string()], output: families })

/**
 * Gauges in Prometheus' text format, by a parser that is not ours: each sample as [name, labels, value]. Throws where
 * the text is wrong, holds anything but gauges with a help, or a sample twice.
 */
export function parseMetrics(text: string): [string, Readonly<Record<string, string>>, number][] {
  const parser: unknown = createRequire(import.meta.url)("parse-prometheus-text-format")
  if (typeof parser !== "function") throw new Error("there is no parser of metrics")
  const read = parse.implement((metrics) => families.parse(Reflect.apply(parser, undefined, [metrics])))
  const samples = read(text).flatMap(({ name, metrics }) =>
    metrics.map(({ labels = {}, value }): [string, Readonly<Record<string, string>>, number] => [
      name,
      labels,
      Number(value),
    ]),
  )
  const series = samples.map(([name, labels]) =>
    JSON.stringify([name, labels.database, labels.storage, labels.state]),
  )
  if (new Set(series).size < series.length) throw new Error("a sample is there twice")
  return samples
}
