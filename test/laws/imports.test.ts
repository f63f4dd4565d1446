// Who may import whom. That the appliance cannot decrypt is a property of this graph.
import { existsSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import test from 'ava'
import { codeOf, importsOf, ROOT, reachableFrom, roomOf, sources, textOf, violations } from './source.ts'

const AGENT = ['format', 'filesystem', 'authorized-storage', 'site', 'backup', 'restore', 'cli']

/** Room → the rooms it may import, besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  archive: ['protocol'],
  storage: ['protocol', 'archive'],
  authority: ['protocol', 'keystore-client', 'keystore-seal', 'worker'],
  // The frame around commands (frame, progress, password, table) is one for agent and appliance.
  'appliance-cli': ['protocol', 'archive', 'storage', 'authority', 'cli', 'keystore-client'],
  format: ['protocol'],
  filesystem: ['protocol'],
  'authorized-storage': ['protocol'],
  site: ['protocol', 'authorized-storage'],
  backup: ['protocol', 'format', 'filesystem', 'authorized-storage', 'site'],
  restore: ['protocol', 'format', 'filesystem', 'authorized-storage', 'site', 'archive'],
  cli: ['protocol', 'keystore-seal', ...AGENT.filter(room => room !== 'cli')],
  // The restore worker: the one process of the appliance that may open records.
  worker: ['protocol', 'format', 'restore', 'site', 'keystore-seal'],
  'keystore-seal': ['protocol'],
  'keystore-client': ['protocol', 'keystore-seal'],
  'keystore-provision': ['protocol', 'keystore-client', 'keystore-seal'],
  'keystore-operate': ['protocol', 'keystore-client', 'keystore-provision', 'keystore-seal'],
  'keystore-server': ['protocol'],
  'keystore-cli': ['protocol', 'cli', 'keystore-client', 'keystore-provision', 'keystore-operate', 'keystore-server'],
  // Firmware: builds the image, and on it looks after the machine. The appliance's own processes know nothing of it.
  'image-build': ['protocol', 'image-update', 'image-life'],
  'image-update': ['protocol'],
  'image-setup': ['protocol', 'authority', 'keystore-client', 'keystore-operate', 'image-update'],
  'image-life': ['protocol', 'image-update', 'image-setup'],
  // Benchmarks start parts of the appliance by themselves, with the tests' certificates; the OpenAPI describes its routes.
  scripts: ['protocol', 'archive', 'storage', 'authority', 'format', 'keystore-seal', 'keystore-operate', 'test'],
}

/** Libraries that only these rooms may use, so that each is a seam. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['storage', 'authority', 'image-setup', 'scripts'],
  '@fastify/swagger': ['scripts'],
  '@peculiar/x509': ['authority', 'keystore-server', 'image-setup'],
  'reflect-metadata': ['authority', 'keystore-server', 'image-setup'],
  jose: ['storage', 'authority', 'keystore-client', 'keystore-provision'],
  'node-vault': ['keystore-client'],
  level: ['archive', 'authority', 'storage'],
  'classic-level': ['archive', 'storage', 'authority', 'backup'],
  'sodium-native': ['format', 'authorized-storage', 'authority', 'worker', 'keystore-seal', 'keystore-client', 'keystore-provision', 'keystore-operate'],
  koffi: ['filesystem', 'authorized-storage', 'format'],
  cbor2: ['format'],
  ignore: ['filesystem', 'backup'],
  commander: ['cli', 'appliance-cli', 'keystore-cli'],
  systeminformation: ['authority', 'storage', 'appliance-cli', 'image-life'],
  typebox: [
    'protocol',
    'site',
    'backup',
    'cli',
    'storage',
    'authority',
    'appliance-cli',
    'restore',
    'authorized-storage',
    'format',
    'archive',
    'keystore-client',
    'keystore-provision',
    'keystore-operate',
    'keystore-server',
    'keystore-cli',
    'image-build',
    'image-update',
    'image-setup',
    'image-life',
  ],
}

const isOurs = (): boolean => true

test('every import of our own names a file that is there', t => {
  const wrong = violations(sources(), (file, report) => {
    for (const one of importsOf(file)) if (one.file !== undefined && !existsSync(join(ROOT, one.file))) report(`${file} imports ${one.name}`)
  })
  t.deepEqual(wrong, [])
})

test('no room imports a room that it may not', t => {
  const wrong = violations(sources('appliance', 'agent', 'keystore', 'image', 'scripts'), (file, report) => {
    const room = roomOf(file)
    const allowed = MAY_IMPORT[room]
    if (!allowed) return report(`${file}: the room ${room} is not in the table`)
    for (const one of importsOf(file)) {
      if (one.file === undefined || one.file === 'package.json') continue
      const other = roomOf(one.file)
      if (other !== room && !allowed.includes(other)) report(`${file} imports ${one.name}`)
    }
  })
  t.deepEqual(wrong, [])
})

test('files of another room are imported by its name, those of the own room by a relative path', t => {
  const wrong = violations(sources('appliance', 'agent', 'keystore', 'image'), (file, report) => {
    for (const { name, file: other } of importsOf(file)) {
      if (other !== undefined && other !== 'package.json' && name.startsWith('.') !== (roomOf(other) === roomOf(file))) report(`${file} imports ${name}`)
    }
  })
  t.deepEqual(wrong, [])
})

test('storage node and archive cannot reach the code that opens records, nor the authority', t => {
  const reached = reachableFrom(sources('appliance/storage', 'appliance/archive'), isOurs)
  const wrong = violations(reached, ([file, way], report) => {
    if (!['storage', 'archive', 'protocol'].includes(roomOf(file)) && file !== 'package.json') report(way.join(' → '))
  })
  t.deepEqual(wrong, [])
  t.true(reached.size > 20)
})

test('nothing that storage node and archive can reach could decrypt or decompress', t => {
  const wrong = violations(reachableFrom(sources('appliance/storage', 'appliance/archive'), isOurs), ([file, way], report) => {
    if (!file.endsWith('.ts')) return
    const found = /createDecipher|createCipher|crypto_(aead|secretbox|stream)|(zstd|brotli)?Decompress|gunzip|inflate|\bsubtle\b|koffi|sodium/.exec(
      codeOf(file),
    )
    if (found) report(`${way.join(' → ')}: ${found[0]}`)
  })
  t.deepEqual(wrong, [])
})

test('the authority and the commands of the appliance cannot reach the code that opens records either, but start the process that can', t => {
  const all = sources('appliance').filter(file => roomOf(file) !== 'worker')
  const wrong = violations(reachableFrom(all, isOurs), ([file, way], report) => {
    if (file.startsWith('agent/') && roomOf(file) !== 'cli') report(way.join(' → '))
  })
  t.deepEqual(wrong, [])
})

test('neither the authority nor the keystore client can reach the code that opens a sealed user key', t => {
  const wrong = violations(
    reachableFrom(sources('appliance/authority', 'appliance/cli', 'keystore/client', 'keystore/provision'), isOurs),
    ([file, way], report) => {
      if (file === 'keystore/seal/sealed-key.ts') report(way.join(' → '))
    },
  )
  t.deepEqual(wrong, [])
})

test('the agent reads an archive directory only to recover, and only with the code that reads', t => {
  const wrong = violations(sources('agent'), (file, report) => {
    for (const one of importsOf(file)) {
      if (one.file === undefined || roomOf(one.file) !== 'archive') continue
      if (!file.startsWith('agent/restore/')) report(`${file} imports ${one.name}`)
      const reached = reachableFrom([one.file], ({ isTypeOnly }) => !isTypeOnly)
      for (const [other, way] of reached)
        if (other.endsWith('.ts') && /from '(classic-)?level'/.test(codeOf(other))) report(`${file} → ${way.join(' → ')} opens an index`)
    }
  })
  t.deepEqual(wrong, [])
})

test('the agent imports nothing of the appliance but its protocol and the reading of archives', t => {
  const wrong = violations(sources('agent'), (file, report) => {
    for (const one of importsOf(file))
      if (one.file?.startsWith('appliance/') && !['protocol', 'archive'].includes(roomOf(one.file))) report(`${file} imports ${one.name}`)
  })
  t.deepEqual(wrong, [])
})

test('no rooms import one another in a circle', t => {
  const edges = new Map<string, Set<string>>()
  for (const file of sources('appliance', 'agent', 'keystore', 'image')) {
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
  const wrong = violations(sources(), (file, report) => {
    for (const one of importsOf(file)) {
      if (one.file !== undefined) continue
      if (one.name.startsWith('node:')) {
        if (!builtin.has(one.name.slice(5))) report(`${file}: there is no ${one.name}`)
        continue
      }
      if (builtin.has(one.name)) report(`${file}: write node:${one.name}`)
      const library = one.name.startsWith('@') ? one.name.split('/').slice(0, 2).join('/') : (one.name.split('/')[0] ?? '')
      const isShipped = /^(appliance|agent|keystore|image\/(update|setup|life))\//.test(file)
      if (!(library in dependencies) && (isShipped || !(library in devDependencies)))
        report(`${file}: ${library} is not in package.json's ${isShipped ? 'dependencies' : 'lists'}`)
      const rooms = LIBRARIES[library]
      if (isShipped && !rooms?.includes(roomOf(file))) report(`${file} imports ${library}, which is for ${rooms?.join(', ') ?? 'nobody'}`)
    }
  })
  t.deepEqual(wrong, [])
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
