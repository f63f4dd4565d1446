// Our own code as it lies on the appliance, under /usr/lib/holdfast: the programs of the services, packed; what `recover` is
// made of, as it goes onto USB disks; and what has code of the machine's own. No tests, no tools, nothing of other platforms.
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'
import Type from 'typebox'
import { Check } from 'typebox/value'
import { libraryFolders } from '#image-life/library-folders.ts'
import { RECOVER_FOLDERS, RECOVER_LIBRARIES } from '#image-life/recover-program.ts'
import { fault } from './errors.ts'
import { EXTERNAL, pack } from './pack.ts'
import { run } from './running.ts'

const ROOT = join(import.meta.dirname, '../..')
const PLATFORM = 'linux-x64'
export const PROGRAM_PATH = 'usr/lib/holdfast'

const UNITS = join(import.meta.dirname, '../mkosi/mkosi.extra/usr/lib/systemd/system')
const THREADS = ['appliance/storage/digest-worker.ts']
const NOT_RUN = new Set(['test', 'tests', 'docs', 'doc', 'example', 'examples', 'benchmark', 'benchmarks', 'deps', 'vendor', '.github'])
const NOT_RUN_ENDINGS = [
  '.md',
  '.map',
  '.d.ts',
  '.d.mts',
  '.d.cts',
  '.cc',
  '.cpp',
  '.hh',
  '.h',
  '.gyp',
  '.gypi',
  '.as.ts',
  '.yml',
  '.S',
  '.asm',
  '.inc',
  '.def',
  'CMakeLists.txt',
]

const Lock = Type.Object({
  packages: Type.Record(
    Type.String(),
    Type.Object({
      version: Type.Optional(Type.String()),
      dev: Type.Optional(Type.Boolean()),
      devOptional: Type.Optional(Type.Boolean()),
      license: Type.Optional(Type.Unknown()),
      integrity: Type.Optional(Type.String()),
    }),
  ),
})

export type Library = {
  readonly name: string
  readonly version: string
  readonly path: string
  readonly license: string | undefined
  readonly integrity: string | undefined
}

/** The libraries that are shipped, sorted by path: what package-lock.json has for running, and is here on this platform. */
export function shippedLibraries(): readonly Library[] {
  const lock: unknown = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  if (!Check(Lock, lock)) throw fault('IMAGE_BUILD_FAILED', { found: 'package-lock.json of another shape' })
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional && existsSync(join(ROOT, path)))
    .map(([path, { version, license, integrity }]) => ({
      name: path.replace(/^.*node_modules\//, ''),
      version: version ?? '',
      path,
      license: licenseOf(license),
      integrity,
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Older packages list theirs. */
const licenseOf = (license: unknown): string | undefined => (typeof license === 'string' ? license : undefined)

/**
 * Lays out the program in a folder that becomes part of the root.
 *
 * @param release  what /usr/lib/holdfast/release.json says
 */
export async function layOutProgram(tree: string, release: Readonly<Record<string, unknown>>, updateKey: string, log: string): Promise<void> {
  rmSync(tree, { recursive: true, force: true })
  const program = join(tree, PROGRAM_PATH)
  mkdirSync(join(program, 'bin'), { recursive: true })
  await pack(programs(), program, `/${PROGRAM_PATH}`)
  const libraries = await libraryFolders(ROOT, [...RECOVER_LIBRARIES, ...EXTERNAL])
  for (const folder of [...RECOVER_FOLDERS.map(name => join(ROOT, name)), ...libraries])
    cpSync(folder, join(program, relative(ROOT, folder)), { recursive: true, filter: source => isRun(source) && !isOfAnother(source, folder) })
  for (const { name, path } of shippedLibraries()) keepLicenses(join(ROOT, path), join(program, 'licenses', name))
  cpSync(join(ROOT, 'package.json'), join(program, 'package.json'))
  // A quarter of the runtime is names of its functions, which only a debugger reads.
  await run(log, 'strip', ['--strip-all', '-o', join(program, 'bin/node'), join(ROOT, 'node_modules/node/bin/node')])
  writeFileSync(join(program, 'release.json'), `${JSON.stringify(release)}\n`)
  cpSync(updateKey, join(program, 'update-key.pem'))
  // PID 1 and systemd-timesyncd take the time of this file for the earliest that it can be.
  writeFileSync(join(tree, 'usr/lib/clock-epoch'), '')
  readable(tree)
}

/** What is packed: what units start (`node … /usr/lib/holdfast/SOMETHING.js`), and threads. Relative to the checkout, sorted. */
export function programs(): string[] {
  const texts = readdirSync(UNITS, { withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(join(UNITS, entry.name), 'utf8'))
  const named = texts.flatMap(text => [...text.matchAll(new RegExp(`/${PROGRAM_PATH}/(\\S+)\\.js\\b`, 'g'))].map(match => `${match[1]}.ts`))
  return [...new Set([...named, ...THREADS])].sort()
}

/** A library's own libraries have folders of their own in the list. */
const isOfAnother = (source: string, folder: string): boolean => relative(folder, source).split(sep).includes('node_modules')

function keepLicenses(library: string, to: string): void {
  for (const name of readdirSync(library).filter(name => /^(licen[cs]e|notice|copying)/i.test(name)))
    cpSync(join(library, name), join(to, name), { recursive: true })
}

function isRun(source: string): boolean {
  const name = basename(source)
  if (source.startsWith(join(ROOT, 'node_modules'))) {
    if (NOT_RUN.has(name) || (NOT_RUN_ENDINGS.some(ending => name.endsWith(ending)) && !/licen[cs]e|notice/i.test(name))) return false
    const parts = source.split(sep)
    if (parts.at(-2) === 'prebuilds' && name !== PLATFORM) return false
  }
  return !name.endsWith('.as.ts')
}

/** Rights do not depend on who made the checkout. */
function readable(folder: string): void {
  chmodSync(folder, 0o755)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) readable(path)
    else if (entry.isFile()) chmodSync(path, folder.endsWith(`${sep}bin`) ? 0o755 : 0o644)
  }
}
