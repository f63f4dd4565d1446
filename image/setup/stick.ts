// Network settings from a USB stick, for a machine that cannot be reached: systemd starts this for each vfat volume on USB
// (udev/80-holdfast-stick.rules), when the machine starts or the stick is put in. One file of it is read, at most so long,
// checked as any other settings, and kept; nothing else of the stick is looked at. The volume is mounted in this process's
// own view of the file system (the unit's PrivateMounts), read-only.
//   --device FILE  the volume, to be mounted; or (tests) --volume DIR  a folder in its place, --root DIR
import { execFileSync } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isFault } from '#protocol/fault.ts'
import { remove, writeShown } from './durable-file.ts'
import { fault } from './errors.ts'
import { storeNetwork } from './machine-settings.ts'
import { NETWORK_FILE_BYTES_MAX, parseNetwork } from './network.ts'
import { type Places, placesUnder, STICK_FILE } from './places.ts'

/** The unit's RuntimeDirectory. */
const MOUNT_POINT = process.env['RUNTIME_DIRECTORY'] ?? ''

const { values } = parseArgs({
  options: {
    device: { type: 'string' },
    volume: { type: 'string', default: MOUNT_POINT },
    from: { type: 'string', default: 'the USB stick' },
    root: { type: 'string' },
  },
})
const places = placesUnder(values.root ?? '/')
try {
  if (values.device !== undefined) execFileSync('mount', ['-t', 'vfat', '-o', 'ro,nosuid,nodev,noexec', values.device, MOUNT_POINT])
  const text = readStick(values.volume)
  if (text !== undefined) {
    storeNetwork(places, parseNetwork(text))
    remove(places.stickAttention)
    process.stdout.write(`network settings taken from ${STICK_FILE} on ${values.from}\n`)
    if (values.root === undefined) execFileSync('systemctl', ['--no-block', 'restart', 'holdfast-settings.service'], { stdio: 'ignore' })
  }
} catch (error) {
  say(places, isFault(error) ? error.message : error instanceof Error ? error.message : String(error))
  process.exitCode = isFault(error) ? error.exit : 1
}

/** Undefined: it has no such file. @throws NETWORK_INVALID */
function readStick(volume: string): string | undefined {
  let fd: number
  try {
    fd = openSync(join(volume, STICK_FILE), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fault('NETWORK_INVALID', { expected: `a file ${STICK_FILE}`, found: (error as NodeJS.ErrnoException).code ?? 'an error' })
  }
  try {
    if (!fstatSync(fd).isFile()) throw fault('NETWORK_INVALID', { expected: `a file ${STICK_FILE}`, found: 'something else' })
    const bytes = Buffer.alloc(NETWORK_FILE_BYTES_MAX + 1)
    const length = readSync(fd, bytes)
    if (length > NETWORK_FILE_BYTES_MAX) throw fault('NETWORK_INVALID', { expected: `at most ${NETWORK_FILE_BYTES_MAX} bytes`, found: 'more' })
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(fd)
  }
}

/** On the screen: whoever put the stick in, or typed, stands there. */
function say(to: Places, text: string): void {
  const said = `${STICK_FILE} on ${values.from} was not used: ${text}`
  process.stderr.write(`${said}\n`)
  writeShown(to.stickAttention, JSON.stringify({ items: [{ code: 'STICK_REFUSED', text: said, since_ms: Date.now() }] }))
}
