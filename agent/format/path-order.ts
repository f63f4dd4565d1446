// The order of paths: component by component, each bytewise, a directory before what is in it. So a directory's whole
// subtree is one run. It differs from the order of the strings only where a character below '/' meets a '/':
// 'a', 'a/b', 'a-b' (strings would put 'a-b' before 'a/b').

const SLASH = 0x2f

/**
 * Compares two paths (one character = one byte, no leading '/', '' is the root).
 *
 * @returns below 0, 0 or above 0, for Array.sort
 */
export function comparePaths(a: string, b: string): number {
  const shared = Math.min(a.length, b.length)
  for (let at = 0; at < shared; at++) {
    const one = a.charCodeAt(at)
    const other = b.charCodeAt(at)
    if (one === other) continue
    if (one === SLASH) return -1
    if (other === SLASH) return 1
    return one - other
  }
  return a.length - b.length
}

/** Whether `path` is `directory` itself or lies anywhere in it. */
export const isWithin = (path: string, directory: string): boolean =>
  directory === '' || (path.startsWith(directory) && (path.length === directory.length || path.charCodeAt(directory.length) === SLASH))
