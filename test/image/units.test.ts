// The units of the image: they start our processes with the flags that our code names, and in a tight sandbox.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { ROOT } from '../laws/source.ts'

const UNITS = join(ROOT, 'image/mkosi/mkosi.extra/usr/lib/systemd/system')
const EXPOSURE_MAX = 2
const unit = (name: string): string => readFileSync(join(UNITS, name), 'utf8')
/** An array of texts in a source file, as it is written there. */
const flagsIn = (file: string, name: string): string[] => {
  const [, list = ''] = new RegExp(`export const ${name}[^=]*= \\[([\\s\\S]*?)\\]`).exec(readFileSync(join(ROOT, file), 'utf8')) ?? []
  return [...list.matchAll(/^\s*['`](--[^'`]+)['`]/gm)].map(match => (match[1] ?? '').replace(`\${ROOT}`, '/usr/lib/holdfast'))
}

for (const [name, file, list] of [
  ['holdfast-storage.service', 'appliance/storage/node-flags.ts', 'STORAGE_NODE_FLAGS'],
  ['holdfast-worker@.service', 'appliance/restore/start-worker.ts', 'WORKER_FLAGS'],
] as const) {
  test(`${name} has the flags of ${list}`, t => {
    const [, flags = ''] = /^ExecStart=\/usr\/lib\/holdfast\/bin\/node (.*?) \/usr\/lib\/holdfast\//m.exec(unit(name)) ?? []
    const wanted = flagsIn(file, list)
    t.true(wanted.length > 3)
    t.deepEqual(flags.split(' '), wanted)
  })
}

test('storage node, authority and restore worker are exposed to less than 2.0 each', t => {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-units-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'usr/lib/systemd'), { recursive: true })
  cpSync(UNITS, join(root, 'usr/lib/systemd/system'), { recursive: true, verbatimSymlinks: true })
  // systemd-analyze looks at instances of a template only.
  writeFileSync(join(root, 'usr/lib/systemd/system/worker.service'), unit('holdfast-worker@.service'))
  cpSync(join(UNITS, 'holdfast-storage.service.d'), join(root, 'usr/lib/systemd/system/worker.service.d'), { recursive: true })
  for (const name of ['holdfast-storage.service', 'holdfast-authority.service', 'worker.service']) {
    const report = execFileSync('systemd-analyze', ['security', '--offline=true', '--no-pager', `--root=${root}`, name], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const exposure = Number(/Overall exposure level[^\n]*: ([0-9.]+)/.exec(report)?.[1])
    t.log(`${name}: ${exposure}`)
    t.true(exposure < EXPOSURE_MAX)
  }
})

test('every package that the image asks for has its reason in IMAGE.md', t => {
  const [, list = ''] = /^Packages=\n((?: {2}\S+\n)+)/m.exec(readFileSync(join(ROOT, 'image/mkosi/mkosi.conf'), 'utf8')) ?? []
  const document = readFileSync(join(ROOT, 'image/IMAGE.md'), 'utf8')
  const packages = list.trim().split(/\s+/)
  t.true(packages.length > 10)
  t.deepEqual(
    packages.filter(name => !new RegExp(`^\\|.*\`${name.replaceAll('+', '\\+')}\`.*\\|`, 'm').test(document)),
    [],
  )
})
