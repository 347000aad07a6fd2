/** `target` with some of its methods replaced; the others stay bound to it. */
export function override<Target extends object>(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get: (own, property): unknown => {
      const value: unknown = Reflect.get(property in methods ? methods : own, property)
      return typeof value === "function" ? value.bind(own) : value
    },
  })
}
