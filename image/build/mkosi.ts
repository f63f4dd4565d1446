// mkosi, the program that makes the image: one version, from its Debian package, checked by its hash. It is not installed.
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fault } from './errors.ts'
import { aptSettings, aptSource, type Mirror } from './mirror.ts'
import { run } from './running.ts'

const VERSION = '27.1-1'
const SHA256 = 'b8cec2f88e217bbfcde6b70605f67ea94069f64c21b1b6a9b88c0e177b23af81'
/** The suite of Debian that has this version; the image itself is of the one in mkosi.conf. */
const SUITE = 'forky'
const IMAGE_SUITE = 'trixie'
/** Partition ids and the like are made out of it. */
const SEED = '6f8f4a3e-6f0c-4a46-9a6b-3d3a5a3f2b10'
const CONFIGURATION = join(import.meta.dirname, '../mkosi')

/**
 * Gets mkosi, unless it is there.
 *
 * @returns the folder for PYTHONPATH
 * @throws MKOSI_OTHER, IMAGE_BUILD_FAILED
 */
export async function getMkosi(cache: string, mirror: Mirror, log: string): Promise<string> {
  const unpacked = join(cache, `mkosi-${VERSION}`)
  const python = join(unpacked, 'usr/lib/python3/dist-packages')
  if (existsSync(join(python, 'mkosi'))) return python
  process.stderr.write(`image: fetching mkosi ${VERSION} …\n`)
  const apt = join(cache, 'apt')
  for (const folder of ['lists/partial', 'cache/archives/partial', 'etc/sources.list.d', 'etc/apt.conf.d']) mkdirSync(join(apt, folder), { recursive: true })
  writeFileSync(join(apt, 'status'), '')
  writeFileSync(join(apt, 'etc/sources.list.d/mkosi.sources'), aptSource(mirror.archive, [SUITE]))
  writeFileSync(join(apt, 'etc/apt.conf.d/settings'), aptSettings())
  const options = [
    `Dir::Etc=${join(apt, 'etc')}`,
    `Dir::State=${apt}`,
    `Dir::State::lists=${join(apt, 'lists')}`,
    `Dir::State::status=${join(apt, 'status')}`,
    `Dir::Cache=${join(apt, 'cache')}`,
    'Acquire::Languages=none',
    'APT::Sandbox::User=root',
  ].flatMap(option => ['-o', option])
  await run(log, 'apt-get', [...options, 'update'])
  const name = `mkosi_${VERSION}_all.deb`
  await run(log, 'apt-get', [...options, 'download', `mkosi=${VERSION}`], { cwd: apt }).catch((cause: unknown) => {
    throw fault('MKOSI_OTHER', { expected: VERSION, cause })
  })
  const hash = createHash('sha256')
    .update(readFileSync(join(apt, name)))
    .digest('hex')
  if (hash !== SHA256) throw fault('MKOSI_OTHER', { expected: SHA256, found: hash })
  await run(log, 'dpkg-deb', ['--extract', join(apt, name), unpacked])
  rmSync(apt, { recursive: true })
  return python
}

export type ImageInput = {
  readonly version: number
  /** Folders that are laid over the root, in order. */
  readonly trees: readonly string[]
  readonly output: string
  /** Signs what the TPM may expect of a start: PEM files. */
  readonly pcrKey: string
  readonly pcrCertificate: string
  /** Seconds since 1970: no file of the image is younger. */
  readonly epoch_s: number
}

/**
 * Makes the image and its parts in `input.output`. Only one at a time may use a cache (main.ts).
 *
 * @throws IMAGE_BUILD_FAILED
 */
export async function runMkosi(cache: string, python: string, mirror: Mirror, input: ImageInput, log: string): Promise<void> {
  const sandbox = join(cache, 'sandbox')
  // mkosi writes its tools beside its configuration.
  const configuration = join(cache, 'configuration')
  for (const name of readdirSync(CONFIGURATION)) {
    rmSync(join(configuration, name), { recursive: true, force: true })
    cpSync(join(CONFIGURATION, name), join(configuration, name), { recursive: true, verbatimSymlinks: true })
  }
  mkdirSync(join(sandbox, 'etc/apt/sources.list.d'), { recursive: true })
  mkdirSync(join(sandbox, 'etc/apt/apt.conf.d'), { recursive: true })
  const sources = [aptSource(mirror.archive, [IMAGE_SUITE, `${IMAGE_SUITE}-updates`]), aptSource(mirror.security, [`${IMAGE_SUITE}-security`])]
  writeFileSync(join(sandbox, 'etc/apt/sources.list.d/mkosi.sources'), sources.join('\n'))
  writeFileSync(join(sandbox, 'etc/apt/apt.conf.d/settings'), aptSettings())
  for (const folder of ['images', 'packages', 'work']) mkdirSync(join(cache, folder), { recursive: true })
  mkdirSync(input.output, { recursive: true })
  const options: [string, string][] = [
    ['--directory', configuration],
    ['--image-version', String(input.version)],
    ['--seed', SEED],
    ['--cache-directory', join(cache, 'images')],
    ['--package-cache-directory', join(cache, 'packages')],
    ['--workspace-directory', join(cache, 'work')],
    ['--output-directory', input.output],
    ['--sandbox-tree', sandbox],
    ['--tools-tree-sandbox-tree', sandbox],
    ['--sign-expected-pcr', 'yes'],
    ['--sign-expected-pcr-key', input.pcrKey],
    ['--sign-expected-pcr-certificate', input.pcrCertificate],
    ['--source-date-epoch', String(input.epoch_s)],
    ...input.trees.map((tree): [string, string] => ['--extra-tree', tree]),
  ]
  await run(log, 'python3', ['-m', 'mkosi', '--force', ...options.flat(), 'build'], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: 'C.UTF-8', PYTHONPATH: python },
  })
}
