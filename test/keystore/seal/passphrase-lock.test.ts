// The layer of a passphrase around a key ring: only the passphrase takes it off.
import test from 'ava'
import { createKeyRing, encodeKeyRing } from '#format/keys.ts'
import {
  derivePassphraseKey,
  fitsLockedRing,
  isLockedRing,
  lockRing,
  newPassphraseCost,
  type PassphraseCost,
  passphraseCostOf,
  unlockRing,
} from '#keystore-seal/passphrase-lock.ts'
import { isFault } from '#protocol/fault.ts'

/** Cheap, so that many can be tried. */
const cost = (): PassphraseCost => ({ ...newPassphraseCost(), operations: 1, memory_kib: 8 })
const derive = (text: string, of: PassphraseCost) => derivePassphraseKey(Buffer.from(text), of)
const code = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    return isFault(error) ? error.code : String(error)
  }
  return 'nothing was thrown'
}

test('a locked ring opens with its passphrase, derived again from what it says of itself', async t => {
  const ring = encodeKeyRing(createKeyRing())
  const locked = lockRing(ring, await derive('correct horse battery', cost()))
  t.true(isLockedRing(locked))
  t.false(isLockedRing(ring))
  t.is(locked.indexOf(ring.subarray(4)), -1)
  const again = await derive('correct horse battery', passphraseCostOf(locked))
  t.true(fitsLockedRing(again, locked))
  t.true(unlockRing(locked, again).equals(ring))
})

test('another passphrase, or the same with another salt, opens nothing', async t => {
  const ring = encodeKeyRing(createKeyRing())
  const first = cost()
  const locked = lockRing(ring, await derive('correct horse battery', first))
  const wrong = await derive('correct horse batterx', first)
  t.is(
    code(() => unlockRing(locked, wrong)),
    'PASSPHRASE_WRONG',
  )
  const other = await derive('correct horse battery', cost())
  t.false(fitsLockedRing(other, locked))
  t.is(
    code(() => unlockRing(locked, other)),
    'PASSPHRASE_WRONG',
  )
})

test('a locked ring with any byte changed, or cut, does not open, and never asks for more memory than there may be', async t => {
  const key = await derive('correct horse battery', cost())
  const locked = lockRing(encodeKeyRing(createKeyRing()), key)
  for (let at = 4; at < locked.length; at++) {
    const altered = Buffer.from(locked)
    altered[at] = (altered[at] as number) ^ (1 << (at % 8))
    t.regex(
      code(() => unlockRing(altered, key)),
      /^(PASSPHRASE_WRONG|SEALED_KEY_INVALID)$/,
    )
    const cut = locked.subarray(0, at)
    t.regex(
      code(() => unlockRing(cut, key)),
      /^(PASSPHRASE_WRONG|SEALED_KEY_INVALID)$/,
    )
  }
  for (const [at, value] of [
    [20, 0],
    [20, 17],
    [24, 0],
    [24, 2 ** 32 - 1],
  ] as const) {
    const costly = Buffer.from(locked)
    costly.writeUInt32LE(value, at)
    t.is(
      code(() => passphraseCostOf(costly)),
      'SEALED_KEY_INVALID',
    )
  }
})
