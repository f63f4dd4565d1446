// agent.json: what the agent remembers that is no secret. Replaced as a whole, so that it is never half written.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BackupSet } from '#backup/backup-set.ts'
import { Kid } from '#protocol/names.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

const AGENT_FILE_VERSION = 1

const AgentFile = Type.Object({
  version: Type.Literal(AGENT_FILE_VERSION),
  backup_set: Type.Optional(BackupSet),
  /** Which sealed key lies beside the archive, by its kid. */
  sealed_key_beside: Type.Optional(Kid),
  /** Under which directory restores for others may land here. */
  receive_into: Type.Optional(Type.String({ maxLength: 4096 })),
})
export type AgentFile = Omit<Static<typeof AgentFile>, 'version'>

/** @throws HOME_NEWER, HOME_DAMAGED */
export function readAgentFile(home: string): AgentFile {
  const path = join(home, 'agent.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw fault('HOME_DAMAGED', { expected: 'JSON', found: path })
  }
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (typeof version === 'number' && version > AGENT_FILE_VERSION)
    throw fault('HOME_NEWER', { expected: `agent.json ${AGENT_FILE_VERSION}`, found: `${version}` })
  if (!Check(AgentFile, value)) throw fault('HOME_DAMAGED', { expected: 'the settings of an agent', found: path })
  const { version: _, ...kept } = value
  return kept
}

/** Durable when it returns. */
export function writeAgentFile(home: string, content: AgentFile): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const path = join(home, 'agent.json')
  const file = openSync(`${path}.new`, 'w', 0o600)
  writeSync(file, `${JSON.stringify({ version: AGENT_FILE_VERSION, ...content }, null, 2)}\n`)
  fsyncSync(file)
  closeSync(file)
  renameSync(`${path}.new`, path)
  const folder = openSync(home, 'r')
  fsyncSync(folder)
  closeSync(folder)
}
