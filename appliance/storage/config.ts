// The storage node's configuration: a file without secrets in <home>/storage, written when the appliance is set up. The
// files that it names lie beside it; the key's is 0600.
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Thumbprint } from '#protocol/names.ts'
import { fault } from './errors.ts'
import type { StorageOptions } from './storage-node.ts'

export const CONFIG_NAME = 'config.json'
const VERSION = 1
const FileName = Type.String({ minLength: 1, maxLength: 1024 })

export const StorageConfig = Type.Object({
  version: Type.Literal(VERSION),
  host: Type.String({ minLength: 1, maxLength: 255 }),
  port: Type.Integer({ minimum: 0, maximum: 65_535 }),
  /** Relative to <home>/storage. */
  certificate_file: FileName,
  key_file: FileName,
  ca_file: FileName,
  ticket_key_file: FileName,
  authority_thumbprint: Thumbprint,
})
export type StorageConfig = Static<typeof StorageConfig>

const validator = Compile(StorageConfig)

/**
 * Reads the configuration in <home>/storage and the files that it names.
 *
 * @throws STORAGE_CONFIG_INVALID, STORAGE_CONFIG_NEWER
 */
export async function readConfig(home: string): Promise<StorageOptions> {
  const dir = join(home, 'storage')
  const path = join(dir, CONFIG_NAME)
  const config = checked(parseJson(await readText(path), path), path)
  const [certificate, key, ca, ticket_public_key] = await Promise.all([
    readText(resolve(dir, config.certificate_file)),
    readText(resolve(dir, config.key_file)),
    readText(resolve(dir, config.ca_file)),
    readText(resolve(dir, config.ticket_key_file)),
  ])
  return { home, host: config.host, port: config.port, certificate, key, ca, ticket_public_key, authority_thumbprint: config.authority_thumbprint }
}

function checked(value: unknown, path: string): StorageConfig {
  if (validator.Check(value)) return value
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (typeof version === 'number' && version > VERSION) throw fault('STORAGE_CONFIG_NEWER', { expected: `version ${VERSION} of ${path}`, found: `${version}` })
  const first = validator.Errors(value)[0]
  throw fault('STORAGE_CONFIG_INVALID', { expected: `${path}${first?.instancePath ?? ''} ${first?.message ?? 'of the agreed shape'}`, found: 'something else' })
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error'
    throw fault('STORAGE_CONFIG_INVALID', { expected: path, found: code, cause: error })
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw fault('STORAGE_CONFIG_INVALID', { expected: `JSON in ${path}`, found: 'something else', cause: error })
  }
}
