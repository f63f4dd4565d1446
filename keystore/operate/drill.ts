// The drill: a random sample of users' escrows is proven openable, and nobody sees what is in them. The keystore is asked to
// encrypt each anew under the same key (transit/rewrap): for that it must open it inside, with the slot's private key, and
// what it answers is another ciphertext, which is thrown away. So whoever drills holds a token that opens nothing.
//   It proves: the entry is there; it is the one that the endpoint handed over, if the list has its hash; the slot's key is
//   there and opens it. It does not prove that what is inside fits the sealed key beside the archive: only opening shows
//   that, which the canary does in each rehearsal, and the endpoint did when it sealed.
import { createHash, randomInt } from 'node:crypto'
import { checked } from '#keystore-client/answers.ts'
import { checkNames, kvOf, transitOf } from '#keystore-client/names.ts'
import type { Session } from '#keystore-client/session.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { Check, type Static, Type } from '#protocol/typebox.js'
import { fault } from './errors.ts'

/** One line of the list: the authority has one for each key that is safe. */
const Listed = Type.Object({
  tenant: Type.String(),
  slot: Type.String(),
  kid: Type.String(),
  /** SHA-256 of the sealed W, as the endpoint handed it over. */
  sealed_sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
})
export type Listed = Static<typeof Listed>

export type Drilled = Listed & { /** What is wrong; undefined if it is proven. */ readonly failure: string | undefined }

const Stored = Type.Object({ data: Type.Object({ data: Type.Object({ sealed: Type.String({ maxLength: 1_000 }) }) }) })
const Rewrapped = Type.Object({ data: Type.Object({ ciphertext: Type.String({ maxLength: 1_000 }) }) })

/**
 * A sample of a list of any length, each line with the same chance (reservoir sampling).
 *
 * @returns how many lines there were, and the sample
 * @throws LIST_INVALID, KEYSTORE_NAME_INVALID
 */
export async function sampleOf(lines: AsyncIterable<string>, count: number): Promise<{ total: number; sample: Listed[] }> {
  const sample: Listed[] = []
  let total = 0
  for await (const line of lines) {
    if (line.trim() === '') continue
    total++
    const at = total <= count ? total - 1 : randomInt(total)
    if (at < count) sample[at] = parse(line, total)
  }
  return { total, sample }
}

function parse(line: string, number: number): Listed {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {}
  if (!Check(Listed, value)) throw fault('LIST_INVALID', { expected: 'a line with tenant, slot and kid', found: `line ${number}` })
  const { tenant, slot, kid } = value
  checkNames({ tenant, slot, kid })
  return value
}

/**
 * Tries one escrow.
 *
 * @param session  with a token of the duty `drill`
 * @throws KEYSTORE_*  what is not about this escrow: sealed, away, refused
 */
export async function drill(session: Session, listed: Listed): Promise<Drilled> {
  const { tenant, slot, kid, sealed_sha256 } = listed
  const [kvPath, rewrapPath] = [`${kvOf(tenant)}/data/${slot}/${kid}`, `${transitOf(tenant)}/rewrap/${slot}`]
  try {
    const { sealed } = checked(Stored, await session.read(kvPath), kvPath).data.data
    if (sealed_sha256 !== undefined && createHash('sha256').update(sealed).digest('hex') !== sealed_sha256)
      return { ...listed, failure: 'it is not what the endpoint handed over' }
    checked(Rewrapped, await session.write(rewrapPath, { ciphertext: sealed }), rewrapPath)
    return { ...listed, failure: undefined }
  } catch (error) {
    if (isFault(error, 'KEYSTORE_NOT_FOUND')) return { ...listed, failure: 'there is no such entry' }
    // 400: there is no such key.
    if (isFault(error, 'KEYSTORE_REQUEST_INVALID')) return { ...listed, failure: 'the slot has no key' }
    if (isFault(error, 'ESCROW_UNREADABLE', 'KEYSTORE_ANSWER_INVALID')) return { ...listed, failure: `it does not open (${(error as Fault).code})` }
    throw error
  }
}
