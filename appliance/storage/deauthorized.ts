// Devices that are out: a small file of the storage node's own, written anew for each. Invariants:
//   a device is refused from the moment its line is asked for, and the answer comes when the file is durable;
//   the file is replaced by rename, so a power cut leaves the old one or the new one;
//   a file that cannot be read stops the start: nobody is let in by mistake.
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { Deauthorized } from '#protocol/storage-api.ts'
import { fault } from './errors.ts'

const VERSION = 1
const fileValidator = Compile(Type.Object({ version: Type.Literal(VERSION), devices: Type.Array(Deauthorized) }))

export type DeauthorizedDevices = {
  hasDevice(device: string): boolean
  hasThumbprint(thumbprint: string): boolean
  /** Adds a device's certificates; durable when it resolves, refused at once. */
  add(entry: Deauthorized): Promise<void>
}

/**
 * Reads the list; there is none yet on a new appliance.
 *
 * @throws DEAUTHORIZED_UNREADABLE, STORAGE_CONFIG_NEWER
 */
export async function openDeauthorized(path: string): Promise<DeauthorizedDevices> {
  const devices = new Map<string, Set<string>>()
  const thumbprints = new Set<string>()
  const include = (entry: Deauthorized): void => {
    const known = devices.get(entry.device) ?? new Set()
    devices.set(entry.device, known)
    for (const thumbprint of entry.thumbprints) {
      known.add(thumbprint)
      thumbprints.add(thumbprint)
    }
  }
  for (const entry of await load(path)) include(entry)

  let writing: Promise<void> = Promise.resolve()
  return {
    hasDevice: device => devices.has(device),
    hasThumbprint: thumbprint => thumbprints.has(thumbprint),
    add(entry) {
      include(entry)
      const write = (): Promise<void> => {
        const rows = [...devices].map(([device, known]) => ({ device, thumbprints: [...known] }))
        return replaceDurably(path, `${JSON.stringify({ version: VERSION, devices: rows })}\n`)
      }
      const mine = writing.then(write, write)
      writing = mine
      return mine
    },
  }
}

async function load(path: string): Promise<readonly Deauthorized[]> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw fault('DEAUTHORIZED_UNREADABLE', {
      expected: `a list in ${path}`,
      found: error instanceof SyntaxError ? 'no JSON' : 'no readable file',
      cause: error,
    })
  }
  if (fileValidator.Check(value)) return value.devices
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (typeof version === 'number' && version > VERSION) throw fault('STORAGE_CONFIG_NEWER', { expected: `version ${VERSION} of ${path}`, found: `${version}` })
  throw fault('DEAUTHORIZED_UNREADABLE', { expected: `a list in ${path}`, found: 'another shape' })
}

/** Replaces a small file: afterwards it survives a power cut, and at no time is it half there. */
async function replaceDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
