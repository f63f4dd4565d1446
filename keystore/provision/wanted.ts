// One thing of the keystore as it is wanted: read, compared, written only if it differs, and said.
import { isDeepStrictEqual } from 'node:util'
import { checked } from '#keystore-client/answers.ts'
import type { AdminSession } from '#keystore-client/session.ts'
import { isFault } from '#protocol/fault.ts'
import { Type } from '#protocol/typebox.js'

const WithData = Type.Object({ data: Type.Record(Type.String(), Type.Unknown()) })

export type Data = Readonly<Record<string, unknown>>
export type Note = (change: string) => void

/** What is at a path; undefined if nothing is. */
export async function readData(admin: AdminSession, path: string): Promise<Data | undefined> {
  try {
    return checked(WithData, await admin.read(path), path).data
  } catch (error) {
    if (isFault(error, 'KEYSTORE_NOT_FOUND')) return undefined
    throw error
  }
}

/** A list without entries is null to a server that was started again. */
const isSame = (found: unknown, wanted: unknown): boolean => isDeepStrictEqual(Array.isArray(wanted) ? (found ?? []) : found, wanted)

/**
 * Brings what is at a path to what is wanted. Only the named fields are compared and written.
 *
 * @param what  for people: begins the line that is noted if something was changed
 */
export async function bring(admin: AdminSession, note: Note, what: string, path: string, wanted: Data): Promise<void> {
  const found = await readData(admin, path)
  const differing = Object.keys(wanted).filter(name => !isSame(found?.[name], wanted[name]))
  if (found && differing.length === 0) return
  await admin.write(path, wanted)
  note(`${what}: ${found ? `${differing.join(', ')} changed` : 'made'}`)
}
