// Exclude patterns in gitignore syntax, relative to each root of the backup set.
import ignore from 'ignore'

/** Whether a path under a root is left out. Byte strings. */
export type Exclude = (path: string, root: string, isDirectory: boolean) => boolean

/** Undefined without patterns: then nothing is left out, at no cost. */
export function createExclude(patterns: readonly string[]): Exclude | undefined {
  if (patterns.length === 0) return undefined
  const rules = ignore({ ignorecase: false, allowRelativePaths: true }).add(patterns.map(pattern => Buffer.from(pattern, 'utf8').toString('latin1')))
  return (path, root, isDirectory) => {
    const relative = root === '' ? path : path.slice(root.length + 1)
    return relative !== '' && rules.ignores(isDirectory ? `${relative}/` : relative)
  }
}
