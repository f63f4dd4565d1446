// The process of the authority: `node main.ts --home A [--machine FOLDER]` (the sockets of firmware: authority.ts). Says {"ready":true,"url":…,"storage_url":…} on stdout.
import { parseArgs } from 'node:util'
import { sayAliveWhileAlive } from '#protocol/alive.ts'
import { EXIT, Fault } from '#protocol/fault.ts'
import package_ from '../../package.json' with { type: 'json' }
import { startAuthority } from './authority.ts'

const { values } = parseArgs({ options: { home: { type: 'string' }, machine: { type: 'string' } } })
process.umask(0o077)
try {
  const authority = await startAuthority(values.home ?? '.', { version: package_.version, machine: values.machine })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      authority.close().then(
        () => process.exit(EXIT.done),
        () => process.exit(EXIT.failed),
      )
    })
  }
  process.stdout.write(`${JSON.stringify({ ready: true, url: authority.url, storage_url: authority.storage_url })}\n`)
  sayAliveWhileAlive()
} catch (error) {
  process.stderr.write(`${error instanceof Fault ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = error instanceof Fault ? error.exit : EXIT.failed
}
