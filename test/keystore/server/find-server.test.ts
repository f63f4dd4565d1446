// Which program becomes the keystore server. The pinned one is really installed here, and a copy of it altered.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'ava'
import { findServer } from '#keystore-server/find-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-find-server-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const NOTHING = { PATH: '' }
const silent = (): void => {}
/** Its place in every cache. */
const PLACE = 'openbao-2.7.2/bao'
const installed = (): Promise<string> => findServer({ environment: NOTHING })

/** A cache with a copy of the installed program. */
async function copied(name: string): Promise<{ cache: string; program: string }> {
  const cache = join(folder, name)
  const program = join(cache, PLACE)
  mkdirSync(dirname(program), { recursive: true })
  copyFileSync(await installed(), program, constants.COPYFILE_FICLONE)
  return { cache, program }
}

/** A program that says this of itself. */
function programSaying(name: string, text: string): string {
  const program = join(folder, name)
  mkdirSync(dirname(program), { recursive: true })
  writeFileSync(program, `#!/bin/sh\necho '${text}'\n`)
  chmodSync(program, 0o755)
  return program
}

test('where no server is found the pinned one is installed, and it is what its version says', async t => {
  const program = await installed()
  t.true(program.endsWith(PLACE))
  t.regex(execFileSync(program, ['version'], { encoding: 'utf8' }), /^OpenBao v2\.7\.2/)
})

test('two that install at the same moment both get the whole program, and leave nothing else', async t => {
  const cache = join(folder, 'both')
  const said: string[] = []
  const finding = { environment: NOTHING, cache, say: (line: string) => void said.push(line) }
  t.deepEqual(await Promise.all([findServer(finding), findServer(finding)]), [join(cache, PLACE), join(cache, PLACE)])
  t.is(statSync(join(cache, PLACE)).size, statSync(await installed()).size)
  t.deepEqual(readdirSync(cache), ['openbao-2.7.2'])
  t.true(said.some(line => line.includes('installing OpenBao')))
})

test('an installed program in which one bit differs is refused, whatever its stamp says', async t => {
  const { cache, program } = await copied('altered')
  t.is(await findServer({ environment: NOTHING, cache }), program)
  const byte = Buffer.alloc(1)
  const fd = openSync(program, 'r+')
  readSync(fd, byte, 0, 1, 100_000_000)
  writeSync(fd, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, 100_000_000)
  const error = await t.throwsAsync(findServer({ environment: NOTHING, cache }), { message: /^KEYSTORE_SERVER_ALTERED/ })
  t.true(error?.message.includes(program))
})

test('another program in the place of the pinned one is refused', async t => {
  programSaying(`other/${PLACE}`, 'OpenBao v2.7.2')
  await t.throwsAsync(findServer({ environment: NOTHING, cache: join(folder, 'other') }), { message: /^KEYSTORE_SERVER_ALTERED/ })
})

test('a program that HOLDFAST_BAO names comes first, and is refused if it is no OpenBao from 2.7 on', async t => {
  const fit = programSaying('named', 'OpenBao v2.10.0 (0123), built then')
  t.is(await findServer({ environment: { HOLDFAST_BAO: fit, PATH: '' } }), fit)
  for (const text of ['OpenBao v2.6.9', 'Vault v1.21.0', 'OpenBao v1.9.0', '']) {
    const named = programSaying('unfit', text)
    await t.throwsAsync(findServer({ environment: { HOLDFAST_BAO: named, PATH: '' } }), { message: /^KEYSTORE_SERVER_UNFIT/ }, text)
  }
  await t.throwsAsync(findServer({ environment: { HOLDFAST_BAO: join(folder, 'none') } }), { message: /^KEYSTORE_SERVER_UNFIT.*ENOENT/ })
})

test('of the programs on PATH the first that is fit is taken, and one that is not is passed over', async t => {
  programSaying('first/vault', 'Vault v1.14.8')
  const second = programSaying('second/bao', 'OpenBao v2.7.2')
  programSaying('third/bao', 'OpenBao v2.8.0')
  const said: string[] = []
  const environment = { PATH: ['first', 'nowhere', 'second', 'third'].map(name => join(folder, name)).join(':') }
  t.is(await findServer({ environment, say: line => void said.push(line) }), second)
  t.is(said.length, 1)
  t.regex(said[0] ?? '', /first\/vault is passed over: it says "Vault v1\.14\.8"/)
  t.is(await findServer({ environment: { PATH: join(folder, 'first') }, say: silent }), await installed())
})
