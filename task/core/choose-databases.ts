/**
 * Those of `names` that one of `include` matches, or all where it is empty, but none that one of `exclude`
 * matches. In a pattern "*" stands for anything.
 */
export function chooseDatabases(
  names: readonly string[],
  { include, exclude }: { readonly include: readonly string[]; readonly exclude: readonly string[] },
): string[] {
  const matches = (name: string, patterns: readonly string[]) =>
    patterns.some((pattern) => toRegExp(pattern).test(name))
  return names.filter((name) => (include.length === 0 || matches(name, include)) && !matches(name, exclude))
}

function toRegExp(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"))
  return new RegExp(`^${parts.join(".*")}$`, "s")
}
