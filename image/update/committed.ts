// The highest release that was kept on this machine. What a program writes under /var may have the form of this release,
// and of no later one: that is how an older release can be gone back to while a new one is on trial.
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import Type from 'typebox'
import { Check } from 'typebox/value'
import { VERSION_MAX } from './manifest.ts'

export const COMMITTED_FILE = '/var/lib/holdfast/committed.json'
const Committed = Type.Object({ version: Type.Integer({ minimum: 1, maximum: VERSION_MAX }) })

/** 0 if nothing is known. */
export async function readCommitted(path = COMMITTED_FILE): Promise<number> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Check(Committed, value) ? value.version : 0
  } catch {
    // Missing before the first start has ended. Damaged, it only refuses less: the signature of a release counts as before.
    return 0
  }
}

/** Notes that a release is kept; durable when it returns. A lower version than is noted changes nothing. */
export async function commit(version: number, path = COMMITTED_FILE): Promise<void> {
  if ((await readCommitted(path)) >= version) return
  const file = await open(`${path}.new`, 'w', 0o644)
  try {
    await file.writeFile(`${JSON.stringify({ version })}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
