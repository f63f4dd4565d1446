// The project's own source as the laws see it: files, and who imports whom.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')
const FOLDERS = ['appliance', 'agent', 'keystore', 'image', 'scripts', 'test']

export type Import = {
  /** As written. */
  readonly name: string
  /** Relative to the root, for our own files. */
  readonly file: string | undefined
  /** A whole `import type`, which is not there when the program runs. */
  readonly isTypeOnly: boolean
}

const listed = new Map<string, readonly string[]>()

/** Files with this ending, relative to the root, sorted. */
export function filesOf(ending: string, ...folders: readonly string[]): readonly string[] {
  const key = [ending, ...folders].join(' ')
  const known = listed.get(key)
  if (known) return known
  const found = (folders.length > 0 ? folders : FOLDERS).flatMap(folder =>
    !existsSync(join(ROOT, folder))
      ? []
      : readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
          .filter(entry => entry.isFile() && entry.name.endsWith(ending))
          .map(entry => relative(ROOT, join(entry.parentPath, entry.name))),
  )
  found.sort()
  listed.set(key, found)
  return found
}

/** TypeScript that runs in Node; AssemblyScript is another language. */
export const sources = (...folders: readonly string[]): readonly string[] =>
  filesOf('.ts', ...folders).filter(file => !file.endsWith('.as.ts') && !file.endsWith('.d.ts'))

export const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

/** Without comments; text in quotes stays. */
export const codeOf = (file: string): string =>
  textOf(file)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s\/\/ .*$/gm, '')

const aliases = Object.entries((JSON.parse(textOf('package.json')) as { imports: Record<string, string> }).imports).map(([name, path]): [string, string] => [
  name.replace('*', ''),
  path.replace('*', '').replace('./', ''),
])

const STATIC = /^(?:import|export)\s+(type\s+)?(?:[\s\S]*?\sfrom\s+)?'([^']+)'/gm
const DYNAMIC = /import\(\s*'([^']+)'\s*\)/g
/** Threads and processes are started by the address of a module: what they reach counts too. */
const ADDRESS = /new URL\(\s*'(\.[^']+\.ts)'/g
const RESOLVED = /import\.meta\.resolve\(\s*'([^']+)'/g

const imported = new Map<string, readonly Import[]>()

export function importsOf(file: string): readonly Import[] {
  const known = imported.get(file)
  if (known) return known
  const code = codeOf(file)
  const found = [
    ...[...code.matchAll(STATIC)].map(match => toImport(file, match[2] ?? '', match[1] !== undefined)),
    ...[DYNAMIC, ADDRESS, RESOLVED].flatMap(pattern => [...code.matchAll(pattern)].map(match => toImport(file, match[1] ?? '', false))),
  ]
  imported.set(file, found)
  return found
}

function toImport(from: string, name: string, isTypeOnly: boolean): Import {
  if (name.startsWith('.')) return { name, file: relative(ROOT, join(ROOT, dirname(from), name)), isTypeOnly }
  const alias = aliases.find(([prefix]) => name.startsWith(prefix))
  return { name, file: alias ? alias[1] + name.slice(alias[0].length) : undefined, isTypeOnly }
}

/** Every file that can be loaded from these, with the way there. */
export function reachableFrom(files: readonly string[], isFollowed: (one: Import) => boolean): Map<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>(files.map(file => [file, [file]]))
  const open = [...files]
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (!file.endsWith('.ts')) continue
    for (const one of importsOf(file)) {
      if (one.file === undefined || ways.has(one.file) || !isFollowed(one)) continue
      ways.set(one.file, [...(ways.get(file) ?? []), one.file])
      open.push(one.file)
    }
  }
  return ways
}

const ROOMS: readonly [prefix: string, room: string][] = aliases.map(([name, path]) => [path, name.slice(1, -1)])

/** The room that a file is in, by the name under which it is imported; `scripts` and `test` are rooms too. */
export const roomOf = (file: string): string => ROOMS.find(([prefix]) => file.startsWith(prefix))?.[1] ?? file.split('/')[0] ?? ''

/** What breaks a law, each by name; a law holds if there is nothing. */
export function violations<Item>(items: Iterable<Item>, check: (item: Item, report: (what: string) => void) => void): string[] {
  const found = new Set<string>()
  for (const item of items) check(item, what => void found.add(what))
  return [...found]
}
