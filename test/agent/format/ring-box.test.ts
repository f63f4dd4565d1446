// A key ring on its way from one thread to another.
import test from 'ava'
import { createKeyRing, withNewEpoch } from '#format/keys.ts'
import { createRingBox, sealRing } from '#format/ring-box.ts'

test('a ring comes out of the box that it was sealed to whole, and of no other and no altered one', t => {
  const ring = withNewEpoch(createKeyRing())
  const box = createRingBox()
  const sealed = sealRing(ring, box.publicKey)
  for (const epoch of ring.epochs) t.false(sealed.includes(ring.keyOf(epoch) ?? sealed))
  t.throws(() => createRingBox().open(sealed), { code: 'KEY_RING_DAMAGED' })
  const other = createRingBox()
  const altered = sealRing(ring, other.publicKey)
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1
  t.throws(() => other.open(altered), { code: 'KEY_RING_DAMAGED' })
  const opened = box.open(sealed)
  t.deepEqual(opened.epochs, [1, 2])
  for (const epoch of ring.epochs) t.deepEqual(opened.keyOf(epoch), ring.keyOf(epoch))
})
