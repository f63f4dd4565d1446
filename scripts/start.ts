// npm start [-- FOLDER] [-- --once]: a whole site on this machine, with the commands that anybody would type. Backs FOLDER
// up (default: this checkout), restores it elsewhere, and compares the two with code of its own. Everything lies in
// .holdfast-demo/ and is removed at the end. Stays up until Ctrl-C; with --once it ends, with 0 only if all was identical.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { compareFolders } from './start/compare.ts'
import { commandLine, heading, note, run, say, start, stopAll } from './start/shown.ts'

const ROOT = realpathSync(join(import.meta.dirname, '..'))
const DEMO = join(ROOT, '.holdfast-demo')
const USAGE = 'npm start [-- FOLDER] [-- --once]'

type BackupAnswer = { snapshot: string; files: number; directories: number; read_bytes: number; sent_bytes: number; unreadable: unknown[]; elapsed_ms: number }
type RestoreAnswer = { files: number; written_bytes: number; elapsed_ms: number }

async function main(): Promise<number> {
  const { folder, isOnce } = readArguments()
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    process.stderr.write(`start: ${folder} is not a folder: ${USAGE}\n`)
    return 2
  }
  const isDefault = folder === ROOT
  const leftOut = ['.holdfast-demo', ...(isDefault ? ['node_modules'] : [])]
  const site = makeFolder()
  const [appliance, agent, restored, password] = [join(site, 'appliance'), join(site, 'agent'), join(site, 'restored'), join(site, 'password')]
  writeFileSync(password, `${randomBytes(12).toString('base64url')}\n`, { mode: 0o600 })

  heading('1. A keystore: a real OpenBao, which will keep what brings a lost key back')
  const keystore = join(site, 'keystore')
  await start('holdfast-keystore', ['dev', '--json', '--home', keystore, '--approver', 'otto', '--approver-password-file', password])

  heading('2. The appliance: its certificate authority, keys and addresses')
  const [authorityPort, storagePort] = await Promise.all([freePort(), freePort()])
  await run('holdfast-appliance', [
    'init',
    '--home',
    appliance,
    '--listen',
    '127.0.0.1',
    '--authority-port',
    `${authorityPort}`,
    '--storage-port',
    `${storagePort}`,
    '--keystore',
    join(keystore, 'keystore.json'),
  ])
  const { line } = await start('holdfast-appliance', ['run', '--home', appliance])
  note(line)
  await run('holdfast-appliance', ['user', 'add', 'ann', '--home', appliance, '--password-file', password])

  heading('3. A pairing link for ann, and her device paired with it: her key is made there, and goes into escrow')
  const pair = async (home: string, ...parameters: string[]): Promise<void> => {
    const link = (await run('holdfast-appliance', ['link', 'ann', '--home', appliance])).split('\n').find(text => text.startsWith('holdfast://')) ?? ''
    await run('holdfast', ['pair', link, '--home', home, '--password-file', password, ...parameters])
  }
  await pair(agent)

  heading(`4. A backup of ${folder}`)
  const exclude = leftOut.flatMap(name => ['--exclude', `${name}/`])
  const first = parsed<BackupAnswer>(await run('holdfast', ['backup', folder, ...exclude, '--json', '--home', agent], false))
  note(
    `${count(first.files)} files, ${count(first.directories)} directories: ${size(first.read_bytes)} read, ${size(first.sent_bytes)} sent in ${seconds(first.elapsed_ms)}`,
  )
  if (first.unreadable.length > 0) note(`${count(first.unreadable.length)} could not be read`)

  heading('5. The same again: nothing changed, so nothing is read or sent')
  const second = parsed<BackupAnswer>(await run('holdfast', ['backup', '--json', '--home', agent], false))
  note(`${size(second.read_bytes)} read, ${size(second.sent_bytes)} sent in ${seconds(second.elapsed_ms)}`)

  heading('6. Restored elsewhere')
  const back = parsed<RestoreAnswer>(await run('holdfast', ['restore', '--at', first.snapshot, '--to', restored, '--json', '--home', agent], false))
  note(`${count(back.files)} files, ${size(back.written_bytes)} written and verified in ${seconds(back.elapsed_ms)}`)

  heading('7. Compared, byte for byte')
  let isIdentical = compared(folder, join(restored, folder), leftOut)

  heading('8. The laptop is lost. On the new one ann signs in, gets her own key back, and goes on with her archive')
  const laptop = join(site, 'laptop')
  const { device } = parsed<{ device: string }>(await run('holdfast', ['status', '--json', '--home', agent], false))
  await pair(laptop, '--take-over', device.slice(0, 8))
  const onLaptop = join(site, 'restored-on-the-laptop')
  const again = parsed<RestoreAnswer>(await run('holdfast', ['restore', '--at', first.snapshot, '--to', onLaptop, '--json', '--home', laptop], false))
  note(`${count(again.files)} files, ${size(again.written_bytes)} written and verified in ${seconds(again.elapsed_ms)}`)
  isIdentical = compared(folder, join(onLaptop, folder), leftOut) && isIdentical

  heading('9. Ann is away, and iris needs her files. Nothing is opened before otto agrees, at the keystore itself')
  const signIn = ['--as', 'iris', '--password-file', password]
  await run('holdfast-appliance', ['administrator', 'add', 'iris', '--password-file', password, '--home', appliance])
  const asked = parsed<{ restore: string; request: string }>(
    await run(
      'holdfast-appliance',
      ['restore', 'ask', 'ann', ...signIn, '--reason', 'ann is away', '--at', first.snapshot, '--json', '--home', appliance],
      false,
    ),
  )
  await run('holdfast-keystore', ['approve', asked.request, '--connection', join(keystore, 'keystore.json'), '--as', 'otto', '--password-file', password])
  const file = join(site, 'ann.tar')
  const fetched = parsed<{ bytes: number; elapsed_ms: number }>(
    await run('holdfast-appliance', ['restore', 'fetch', asked.restore, ...signIn, '--to', file, '--json', '--home', appliance], false),
  )
  note(`${size(fetched.bytes)} written and checked in ${seconds(fetched.elapsed_ms)}`)
  const unpacked = join(site, 'unpacked')
  mkdirSync(unpacked, { mode: 0o700 })
  execFileSync('tar', ['-xpf', file, '-C', unpacked, '--xattrs'])
  isIdentical = compared(folder, join(unpacked, folder), leftOut) && isIdentical
  if (isOnce) return isIdentical ? 0 : 1

  heading('The site stays up. Try, in another terminal:')
  for (const words of [
    ['status'],
    ['snapshots'],
    ['ls', 'latest', folder],
    ['find', '*.md'],
    ['verify', '--read-data'],
    ['key', 'export', '--to', join(site, 'ann.key')],
  ]) {
    note(commandLine('holdfast', [...words, '--home', laptop]))
  }
  note(commandLine('holdfast-appliance', ['status', '--home', appliance]))
  say()
  note(`authority     https://127.0.0.1:${authorityPort}`)
  note(`storage node  https://127.0.0.1:${storagePort}`)
  note(`all of it     ${site}`)
  say('\nCtrl-C ends it and removes that folder.')
  isUp = true
  await interrupted
  return isIdentical ? 0 : 1
}

/** Compares by code of its own; says what it found. */
function compared(folder: string, back: string, leftOut: readonly string[]): boolean {
  const result = compareFolders(folder, back, name => leftOut.includes(name))
  for (const difference of result.differences) note(difference)
  const isIdentical = result.differences.length === 0
  note(
    isIdentical
      ? `identical: ${count(result.files)} files (${size(result.bytes)}), ${count(result.directories)} directories, ${count(result.others)} links and others; modes, owners, times${result.hasXattrs ? ', extended attributes' : ''}`
      : `${result.differences.length} differences`,
  )
  return isIdentical
}

function readArguments(): { folder: string; isOnce: boolean } {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { once: { type: 'boolean', default: false } } })
    // A second `--` reaches us as it is: npm takes only the first.
    const folders = positionals.filter(word => word !== '--')
    const isOnce = values.once || folders.includes('--once')
    const named = folders.filter(word => word !== '--once')
    if (named.length > 1) throw new Error(`one folder at a time: ${USAGE}`)
    return { folder: realpathSync(resolve(process.env['INIT_CWD'] ?? '.', named[0] ?? ROOT)), isOnce }
  } catch (error) {
    process.stderr.write(`start: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(2)
  }
}

/** A folder for this run; what runs that ended badly have left is removed. */
function makeFolder(): string {
  mkdirSync(DEMO, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(DEMO)) if (/^\d+$/.test(name) && !existsSync(`/proc/${name}`)) rmSync(join(DEMO, name), { recursive: true, force: true })
  const folder = join(DEMO, `${process.pid}`)
  mkdirSync(folder, { mode: 0o700 })
  return folder
}

function freePort(): Promise<number> {
  return new Promise((resolve_, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve_(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

const parsed = <Answer>(text: string): Answer => JSON.parse(text) as Answer
const count = (number: number): string => number.toLocaleString('en')
const size = (bytes: number): string =>
  bytes < 1024 ? `${bytes} bytes` : bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`

const interrupted = new Promise<void>(resolve_ => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve_())
})

let isUp = false
const folderOfRun = join(DEMO, `${process.pid}`)
try {
  process.exitCode = await Promise.race([main(), interrupted.then(() => (isUp ? 0 : 130))])
  await stopAll()
  rmSync(folderOfRun, { recursive: true, force: true })
} catch (error) {
  process.stderr.write(`\nstart: ${error instanceof Error ? error.message : String(error)}\n`)
  await stopAll()
  process.stderr.write(`start: what was made is kept in ${folderOfRun} until the next start\n`)
  process.exitCode = 1
}
