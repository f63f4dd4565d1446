// npm run image: builds the appliance's image and what an update of it is made of.
//   --version N     the release, an integer; 1 if not given
//   --output DIR    where the artifacts go; node_modules/.cache/holdfast-image/output if not given
//   --keys DIR      the signing keys, made if there are none; HOLDFAST_IMAGE_KEYS, or beside the output
//   --to-start      also see to what it takes to start the image in an emulator here
//   --extra DIR     laid over the root as well, for tests; may be given more than once
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { EXIT, isFault } from '#protocol/fault.ts'
import { buildImage } from './build.ts'

const ROOT = join(import.meta.dirname, '../..')
const LOCKED = 'HOLDFAST_IMAGE_LOCKED'

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      version: { type: 'string', default: '1' },
      output: { type: 'string' },
      keys: { type: 'string' },
      extra: { type: 'string', multiple: true, default: [] },
      'to-start': { type: 'boolean', default: false },
    },
  })
  const version = Number(values.version)
  if (!Number.isSafeInteger(version) || version < 1) {
    process.stderr.write('--version must be an integer from 1 on\n')
    process.exitCode = EXIT.usage
    return
  }
  const cache = join(ROOT, 'node_modules/.cache/holdfast-image')
  mkdirSync(cache, { recursive: true })
  // One build at a time uses the cache: this program runs again with the lock in hand.
  if (!process.env[LOCKED]) {
    const lock = ['--close', join(cache, 'lock'), process.execPath, import.meta.filename, ...process.argv.slice(2)]
    process.exitCode = spawnSync('flock', lock, { stdio: 'inherit', env: { ...process.env, [LOCKED]: '1' } }).status ?? EXIT.failed
    return
  }
  const built = await buildImage({
    version,
    cache,
    output: resolve(values.output ?? join(cache, 'output')),
    keys: resolve(values.keys ?? process.env['HOLDFAST_IMAGE_KEYS'] ?? join(cache, 'keys')),
    extra: values.extra.map(folder => resolve(folder)),
    isToStart: values['to-start'],
    epoch_s: epoch_s(),
  })
  process.stdout.write(`${JSON.stringify(built, null, 2)}\n`)
}

/** Of this commit; a build of the same commit has the same times. */
function epoch_s(): number {
  const given = Number(process.env['SOURCE_DATE_EPOCH'])
  if (Number.isSafeInteger(given) && given > 0) return given
  return Number(execFileSync('git', ['-C', ROOT, 'log', '-1', '--format=%ct'], { encoding: 'utf8' }).trim())
}

main().catch((error: unknown) => {
  process.stderr.write(`${isFault(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(isFault(error) ? error.exit : EXIT.failed)
})
