// The storage node's process: `node main.ts --home A`. Says on stdout, in one line of JSON, where it serves; stops
// cleanly on SIGTERM and SIGINT; an error is one line on stderr.
//   --with-parent  also stops when its stdin ends: then it does not outlive who started it
import { parseArgs } from 'node:util'
import { sayAliveWhileAlive } from '#protocol/alive.ts'
import { EXIT, isFault } from '#protocol/fault.ts'
import { readConfig } from './config.ts'
import { startStorage } from './storage-node.ts'

const STOPS = ['SIGTERM', 'SIGINT'] as const

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { home: { type: 'string' }, 'with-parent': { type: 'boolean', default: false } } })
  const home = values.home ?? process.env['HOLDFAST_HOME']
  if (!home) {
    process.stderr.write('the storage node needs --home DIR, or HOLDFAST_HOME\n')
    process.exitCode = EXIT.usage
    return
  }
  process.umask(0o077)
  const stopped = new Promise<void>(resolve => {
    for (const signal of STOPS) process.once(signal, () => resolve())
    if (values['with-parent'])
      process.stdin
        .once('end', resolve)
        .once('error', () => resolve())
        .resume()
  })
  const node = await startStorage(await readConfig(home))
  process.stdout.write(`${JSON.stringify({ ready: true, url: node.url })}\n`)
  sayAliveWhileAlive()
  await stopped
  await node.close()
  process.stdin.destroy()
}

main().catch((error: unknown) => {
  process.stderr.write(`${isFault(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(isFault(error) ? error.exit : EXIT.failed)
})
