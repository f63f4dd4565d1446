// Several lines from a pipe or a file: shares, identities.
import { readFileSync } from 'node:fs'
import { fault } from '#cli/errors.ts'

/** Its lines (- for standard input), without empty ones and comments. */
export function linesOf(file: string): string[] {
  const text = readFileSync(file === '-' ? 0 : file, 'utf8')
  return text
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
}

/** Gives its lines one after another, or asks each time if no file was named. @throws PASSWORD_MISSING after the last line */
export function piped(file: string | undefined, ask: () => Promise<string>): () => Promise<string> {
  if (file === undefined) return ask
  const lines = linesOf(file)
  return () => {
    const line = lines.shift()
    return line === undefined ? Promise.reject(fault('PASSWORD_MISSING', { expected: 'one more line', found: `the end of ${file}` })) : Promise.resolve(line)
  }
}
