import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openAuthorizedStorage } from '#authorized-storage/authorized-storage.ts'
import { lockHome } from '#authorized-storage/home-lock.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-authorized-'))
test.after.always(() => rmSync(root, { recursive: true, force: true }))
const homeOf = (name: string): string => mkdtempSync(join(root, `${name}-`))

async function filled(name: string): Promise<string> {
  const home = homeOf(name)
  const storage = await openAuthorizedStorage(home)
  await storage.put('user-key-ring', Buffer.from('a recognisable secret value'))
  await storage.put('site', Buffer.from('{"a":1}'))
  await storage.close()
  return home
}

test('a value comes back from a store that was opened anew, and nothing of it is readable on disk', async t => {
  const home = await filled('plain')
  const storage = await openAuthorizedStorage(home)
  t.is((await storage.get('user-key-ring'))?.toString(), 'a recognisable secret value')
  t.is(await storage.get('device-key'), undefined)
  for (const folder of readdirSync(home)) {
    t.is(statSync(join(home, folder)).mode & 0o077, 0, folder)
    for (const name of readdirSync(join(home, folder))) {
      t.is(statSync(join(home, folder, name)).mode & 0o077, 0, name)
      t.false(readFileSync(join(home, folder, name)).includes('recognisable'))
    }
  }
})

test('any single altered byte of a value is found and named, never handed out', async t => {
  const home = await filled('flipped')
  const file = join(home, 'authorized', 'user-key-ring')
  const whole = readFileSync(file)
  for (let at = 0; at < whole.length; at++) {
    const altered = Buffer.from(whole)
    altered[at] = (altered[at] ?? 0) ^ 0x40
    writeFileSync(file, altered)
    const storage = await openAuthorizedStorage(home)
    const error = await t.throwsAsync<Error & { code?: string }>(storage.get('user-key-ring'))
    t.true(error?.code === 'STORAGE_DAMAGED' || error?.code === 'STORAGE_NEWER', `byte ${at}: ${error?.message}`)
  }
})

test('a value that was moved to another name does not open', async t => {
  const home = await filled('moved')
  renameSync(join(home, 'authorized', 'site'), join(home, 'authorized', 'user-key-ring'))
  await t.throwsAsync((await openAuthorizedStorage(home)).get('user-key-ring'), { code: 'STORAGE_DAMAGED' })
})

test('the store without its key, and with the key of another store, opens nothing', async t => {
  const home = await filled('keyless')
  const other = await filled('other')
  if (existsSync(join(home, 'protector', 'key'))) {
    cpSync(join(other, 'protector', 'key'), join(home, 'protector', 'key'))
    await t.throwsAsync((await openAuthorizedStorage(home)).get('site'), { code: 'STORAGE_DAMAGED' })
    rmSync(join(home, 'protector'), { recursive: true })
    await t.throwsAsync((await openAuthorizedStorage(home)).get('site'), { code: 'STORAGE_KEY_LOST' })
  }
  cpSync(join(other, 'authorized', 'site'), join(home, 'authorized', 'site'))
  await t.throwsAsync((await openAuthorizedStorage(home)).get('site'))
})

test('after a wipe nothing opens and nothing is left', async t => {
  const home = await filled('wiped')
  const storage = await openAuthorizedStorage(home)
  await storage.wipe()
  t.is(await storage.get('user-key-ring'), undefined)
  t.false(existsSync(join(home, 'authorized')))
  t.false(existsSync(join(home, 'protector', 'key')))
})

test('a store of a newer version is refused', async t => {
  const home = await filled('newer')
  const file = join(home, 'authorized', 'store')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"version":1', '"version":2'))
  await t.throwsAsync((await openAuthorizedStorage(home)).get('site'), { code: 'STORAGE_NEWER' })
})

test('a home is locked for one process, and free again when that was killed', async t => {
  const home = homeOf('lock')
  const module_ = new URL('../../../agent/authorized-storage/home-lock.ts', import.meta.url).href
  const holder = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { lockHome } from '${module_}'; await lockHome('${home}'); process.stdout.write('locked'); setInterval(() => {}, 1000)`,
  ])
  await new Promise(resolve => holder.stdout.once('data', resolve))
  await t.throwsAsync(lockHome(home), { code: 'HOME_BUSY' })
  holder.kill('SIGKILL')
  await new Promise(resolve => holder.once('close', resolve))
  const unlock = await lockHome(home)
  unlock()
})
