// Acts that take turns: so many at once, the others wait in the order in which they came.

/** Makes a queue; what it returns runs an act when it is its turn. */
export function createTurns(atOnce_max: number): <Result>(act: () => Promise<Result>) => Promise<Result> {
  let running = 0
  const waiting: (() => void)[] = []
  return async act => {
    if (running >= atOnce_max) await new Promise<void>(resolve => waiting.push(resolve))
    else running++
    try {
      return await act()
    } finally {
      const next = waiting.shift()
      // The turn is handed on, so that nobody who comes now can take it.
      if (next) next()
      else running--
    }
  }
}
