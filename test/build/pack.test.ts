// The programs as the image has them, packed: they start, serve an agent, and find what lies beside them.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'ava'
import { pack } from '#image-build/pack.ts'
import { layOutProgram, PROGRAM_PATH, programs } from '#image-build/program.ts'
import { compareFolders } from '../../scripts/start/compare.ts'
import { holdfast } from '../agent/cli/holdfast.ts'
import { freePort } from '../appliance/authority/site.ts'
import { ROOT } from '../laws/source.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-pack-'))
/** Within the checkout, because libraries with code of the machine's own are looked for from there. */
const packed = join(ROOT, 'node_modules/.cache', `packed-${process.pid}`)
test.after.always(() => {
  for (const path of [folder, packed]) rmSync(path, { recursive: true, force: true })
})
test.before(() => pack(programs(), packed, ROOT))

const home = join(folder, 'appliance')
const said = async (ended: ReturnType<typeof holdfast>): Promise<string> => {
  const { code, out, err } = await ended
  if (code !== 0) throw new Error(err)
  return out
}
const start = (name: string): Promise<() => Promise<void>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(packed, `appliance/${name}/main.js`), '--home', home], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise<void>(done => child.once('close', () => done()))
    createInterface(child.stdout).once('line', () =>
      resolve(async () => {
        child.kill('SIGTERM')
        await ended
      }),
    )
    child.once('close', code => reject(new Error(`${name} ended with ${code}`)))
  })

test('each program that a unit starts is packed', t => {
  t.true(programs().length > 8)
  for (const name of programs()) t.true(existsSync(join(packed, name.replace(/\.ts$/, '.js'))), name)
})

test('packed, authority and storage node serve an agent that backs up and restores', async t => {
  const appliance = (...parameters: string[]): Promise<string> => said(holdfast([...parameters, '--home', home], { launcher: 'holdfast-appliance' }))
  const [authority_port, storage_port] = [await freePort(), await freePort()]
  await appliance('init', '--listen', '127.0.0.1', '--authority-port', `${authority_port}`, '--storage-port', `${storage_port}`, '--keystore', 'none')
  const stops = [await start('authority'), await start('storage')]
  t.teardown(() => Promise.all(stops.map(stop => stop())))
  const password = join(folder, 'password')
  writeFileSync(password, 'a password for tests\n', { mode: 0o600 })
  await appliance('user', 'add', 'ann', '--password-file', password)
  const link = (await appliance('link', 'ann')).split('\n').find(line => line.startsWith('holdfast://')) ?? ''
  const agent = (...parameters: string[]): Promise<string> => said(holdfast([...parameters, '--home', join(folder, 'agent')]))
  await agent('pair', link, '--password-file', password)
  const tree = join(folder, 'tree')
  mkdirSync(tree)
  for (let file = 0; file < 20; file++) writeFileSync(join(tree, `${file}`), `the text of file ${file}\n`.repeat(file * 1000))
  await agent('backup', tree)
  await agent('restore', '--to', join(folder, 'back'))
  t.deepEqual(compareFolders(tree, join(folder, 'back', tree), () => false).differences, [])
  t.regex(await appliance('status'), /running/)
})

test('packed, the programs of the machine say what they want', t => {
  for (const name of ['image/update/main.js', 'image/life/service.js']) {
    const error = t.throws(() => execFileSync(process.execPath, [join(packed, name), 'nothing'], { stdio: 'pipe' })) as { stderr?: Buffer } | undefined
    t.regex(String(error?.stderr), /receive, healthy, commit|mount, look, settle, scrub/)
  }
})

test('laid out as in the image, the runtime is there, and every library that is not packed loads from beside it', async t => {
  const tree = join(folder, 'tree-of-the-image')
  const key = join(folder, 'update-key.pem')
  writeFileSync(key, 'a key')
  await layOutProgram(tree, { version: 1 }, key, join(folder, 'log'))
  const program = join(tree, PROGRAM_PATH)
  const load = "for (const name of ['classic-level', 'koffi', 'sodium-native', 'cbor2', 'commander']) require(name)"
  t.is(execFileSync(join(program, 'bin/node'), ['-e', load], { cwd: program, encoding: 'utf8' }), '')
  const help = execFileSync(join(program, 'bin/node'), [join(program, 'agent/cli/main.ts'), 'recover', '--help'], { encoding: 'utf8' })
  t.regex(help, /--key-file/)
  for (const name of programs()) t.true(existsSync(join(program, name.replace(/\.ts$/, '.js'))), name)
})
