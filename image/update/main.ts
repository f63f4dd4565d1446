// The commands of updates on the machine, run as root by their units:
//   receive   a bundle on stdin; JSON lines on stdout: {"progress":…}, and at last {"done":…} or {"fault":…}
//   healthy   waits until the appliance does its work; --within-s SECONDS from when its services were started
//   commit    notes that the release that runs is kept, and says of one that was not
import type { Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { answerOfFault, fault as protocolFault } from '#protocol/errors.ts'
import { EXIT, Fault, isFault } from '#protocol/fault.ts'
import { applyUpdate } from './apply-update.ts'
import { commit } from './committed.ts'
import { waitUntilHealthy } from './health.ts'
import { machineMedia } from './machine-media.ts'
import { showFailed, updateStatus } from './status.ts'
import { espOf, runningVersion, thisMachine } from './this-machine.ts'

const HOME = '/var/lib/holdfast'
/** A sender from which nothing comes for so long is gone. */
const SILENCE_MS = 60_000

const {
  positionals,
  values: { 'within-s': within_s },
} = parseArgs({ allowPositionals: true, options: { 'within-s': { type: 'string', default: '300' } } })
const COMMANDS: Readonly<Record<string, () => Promise<void>>> = {
  async receive() {
    // A socket, as the unit makes it; other sources end by themselves.
    const source = process.stdin as Partial<Socket> & NodeJS.ReadStream
    source.setTimeout?.(SILENCE_MS, () => source.destroy(new Error('silence')))
    const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
    try {
      say({ done: await applyUpdate(source, await thisMachine(), progress => say({ progress })) })
    } catch (error) {
      say({ fault: answerOfFault(error instanceof Fault ? error : protocolFault('INTERNAL')) })
      throw error
    } finally {
      source.destroy()
    }
  },
  healthy: () => waitUntilHealthy(HOME, Number(within_s) * 1000),
  async commit() {
    const version = runningVersion()
    await commit(version)
    await showFailed(await updateStatus(machineMedia, espOf(), version), Date.now())
  },
}

const [name = ''] = positionals
try {
  const command = COMMANDS[name]
  if (!command) throw new Error(`there is no command ${name}; there are ${Object.keys(COMMANDS).join(', ')}`)
  await command()
} catch (error) {
  process.stderr.write(`${isFault(error) ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = isFault(error) ? error.exit : EXIT.failed
}
