// Who may import whom. That the appliance cannot decrypt is a property of this graph.
import { existsSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import test from 'ava'
import { codeOf, importsOf, ROOT, reachableFrom, roomOf, sources, textOf } from './source.ts'

const AGENT = ['format', 'filesystem', 'authorized-storage', 'site', 'backup', 'restore', 'cli']

/** Room → the rooms it may import, besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  archive: ['protocol'],
  storage: ['protocol', 'archive'],
  authority: ['protocol'],
  'appliance-cli': ['protocol', 'archive', 'storage', 'authority'],
  format: ['protocol'],
  filesystem: ['protocol'],
  'authorized-storage': ['protocol'],
  site: ['protocol', 'authorized-storage'],
  backup: ['protocol', 'format', 'filesystem', 'authorized-storage', 'site'],
  restore: ['protocol', 'format', 'filesystem', 'authorized-storage', 'site', 'archive'],
  cli: ['protocol', ...AGENT.filter(room => room !== 'cli')],
  scripts: ['protocol'],
}

/** Libraries that only these rooms may use, so that each is a seam. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['storage', 'authority'],
  '@fastify/swagger': ['storage', 'authority'],
  '@peculiar/x509': ['authority'],
  jose: ['storage', 'authority'],
  level: ['archive', 'authority', 'storage'],
  'classic-level': ['archive', 'storage', 'authority', 'backup'],
  'sodium-native': ['format', 'authorized-storage', 'authority'],
  koffi: ['filesystem', 'authorized-storage'],
  cbor2: ['format'],
  ignore: ['filesystem', 'backup'],
  commander: ['cli', 'appliance-cli'],
  systeminformation: ['authority', 'storage', 'appliance-cli'],
  typebox: ['protocol', 'site', 'backup', 'cli', 'storage', 'authority', 'appliance-cli', 'restore', 'authorized-storage', 'format', 'archive'],
}

const isOurs = (): boolean => true

test('every import of our own names a file that is there', t => {
  for (const file of sources())
    for (const one of importsOf(file)) if (one.file !== undefined) t.true(existsSync(join(ROOT, one.file)), `${file} imports ${one.name}`)
})

test('no room imports a room that it may not', t => {
  for (const file of sources('appliance', 'agent', 'scripts')) {
    const room = roomOf(file)
    const allowed = MAY_IMPORT[room]
    if (!allowed) {
      t.fail(`${file}: the room ${room} is not in the table`)
      continue
    }
    for (const one of importsOf(file)) {
      if (one.file === undefined || one.file === 'package.json') continue
      const other = roomOf(one.file)
      if (other !== room) t.true(allowed.includes(other), `${file} imports ${one.name}: ${room} may import ${allowed.join(', ')}`)
    }
  }
})

test('files of another room are imported by its name, those of the own room by a relative path', t => {
  for (const file of sources('appliance', 'agent')) {
    for (const { name, file: other } of importsOf(file)) {
      if (other !== undefined && other !== 'package.json') t.is(name.startsWith('.'), roomOf(other) === roomOf(file), `${file} imports ${name}`)
    }
  }
})

test('storage node and archive cannot reach the code that opens records, nor the authority', t => {
  const reached = reachableFrom(sources('appliance/storage', 'appliance/archive'), isOurs)
  for (const [file, way] of reached) t.true(['storage', 'archive', 'protocol'].includes(roomOf(file)) || file === 'package.json', way.join(' → '))
  t.true(reached.size > 10)
})

test('nothing that storage node and archive can reach could decrypt or decompress', t => {
  for (const [file, way] of reachableFrom(sources('appliance/storage', 'appliance/archive'), isOurs)) {
    if (!file.endsWith('.ts')) continue
    t.notRegex(
      codeOf(file),
      /createDecipher|createCipher|crypto_(aead|secretbox|stream)|(zstd|brotli)?Decompress|gunzip|inflate|\bsubtle\b|koffi|sodium/,
      way.join(' → '),
    )
  }
})

test('the agent reads an archive directory only to recover, and only with the code that reads', t => {
  for (const file of sources('agent')) {
    for (const one of importsOf(file)) {
      if (one.file === undefined || roomOf(one.file) !== 'archive') continue
      t.true(file.startsWith('agent/restore/'), `${file} imports ${one.name}`)
      const reached = reachableFrom([one.file], ({ isTypeOnly }) => !isTypeOnly)
      for (const [other, way] of reached) t.notRegex(codeOf(other), /from '(classic-)?level'/, `${file} → ${way.join(' → ')} opens an index`)
    }
  }
})

test('the agent imports nothing of the appliance but its protocol and the reading of archives', t => {
  for (const file of sources('agent')) {
    for (const one of importsOf(file))
      if (one.file?.startsWith('appliance/')) t.true(['protocol', 'archive'].includes(roomOf(one.file)), `${file} imports ${one.name}`)
  }
})

test('no rooms import one another in a circle', t => {
  const edges = new Map<string, Set<string>>()
  for (const file of sources('appliance', 'agent')) {
    for (const { file: other } of importsOf(file)) {
      if (other === undefined || other === 'package.json' || roomOf(other) === roomOf(file)) continue
      edges.set(roomOf(file), (edges.get(roomOf(file)) ?? new Set()).add(roomOf(other)))
    }
  }
  t.is(circleIn(edges), undefined)
})

test('no files import one another in a circle', t => {
  const edges = new Map(sources().map(file => [file, new Set(importsOf(file).flatMap(one => (one.file !== undefined && !one.isTypeOnly ? [one.file] : [])))]))
  t.is(circleIn(edges), undefined)
})

test('each library is used in its rooms only, and is in package.json', t => {
  const { dependencies, devDependencies } = JSON.parse(textOf('package.json')) as {
    dependencies: Record<string, string>
    devDependencies: Record<string, string>
  }
  const builtin = new Set(builtinModules)
  for (const file of sources()) {
    for (const one of importsOf(file)) {
      if (one.file !== undefined) continue
      if (one.name.startsWith('node:')) {
        t.true(builtin.has(one.name.slice(5)) || one.name === 'node:sqlite' || one.name === 'node:sea', `${file} imports ${one.name}`)
        continue
      }
      t.false(builtin.has(one.name), `${file}: write node:${one.name}`)
      const library = one.name.startsWith('@') ? one.name.split('/').slice(0, 2).join('/') : (one.name.split('/')[0] ?? '')
      const isShipped = /^(appliance|agent)\//.test(file)
      t.true(
        library in dependencies || (library in devDependencies && (!isShipped || one.isTypeOnly || library === '@fastify/swagger')),
        `${file}: ${library} is not in package.json's ${isShipped ? 'dependencies' : 'lists'}`,
      )
      const rooms = LIBRARIES[library]
      if (isShipped) t.true(rooms?.includes(roomOf(file)) ?? false, `${file} imports ${library}, which is for ${rooms?.join(', ') ?? 'nobody'}`)
    }
  }
})

function circleIn(edges: ReadonlyMap<string, ReadonlySet<string>>): string | undefined {
  const done = new Set<string>()
  const visit = (node: string, way: readonly string[]): string | undefined => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node].join(' → ')
    if (done.has(node)) return undefined
    for (const next of edges.get(node) ?? []) {
      const circle = visit(next, [...way, node])
      if (circle !== undefined) return circle
    }
    done.add(node)
    return undefined
  }
  for (const node of edges.keys()) {
    const circle = visit(node, [])
    if (circle !== undefined) return circle
  }
  return undefined
}
