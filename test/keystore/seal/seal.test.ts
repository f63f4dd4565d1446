// Sealing a user key: what belongs together opens, and nothing else does. What the real keystore makes of a sealed W is
// tested in test/keystore/client.
import { constants, createHash, createPublicKey, generateKeyPairSync, privateDecrypt, randomBytes, sign } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import { createKeyRing, decodeKeyRing, encodeKeyRing, withNewEpoch } from '#format/keys.ts'
import { openUserKey, sealUserKey } from '#keystore-seal/sealed-key.ts'
import { kidOf, type Owner, ownerOf } from '#keystore-seal/sealed-key-head.ts'
import { checkSlot, identityHash, type Slot, slotStatement } from '#keystore-seal/slot.ts'
import { isFault } from '#protocol/fault.ts'

const slotKeys = generateKeyPairSync('rsa', { modulusLength: 3072 })
const identityKeys = generateKeyPairSync('ed25519')
const identity = identityKeys.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
const slotName = `s-${'0123456789abcdef'.repeat(2)}`
const owner: Owner = { tenant: 'acme', slot: slotName, epoch: 2 }

const signedSlot = (changes: Partial<Slot> = {}): Slot => {
  const statement = slotStatement('acme', slotName, slotKeys.publicKey)
  const public_key = slotKeys.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return { tenant: 'acme', slot: slotName, public_key, signature: sign(null, statement, identityKeys.privateKey).toString('base64'), ...changes }
}
const unseal = (sealed_w: string): Buffer =>
  privateDecrypt(
    { key: slotKeys.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    Buffer.from(sealed_w.replace('vault:v1:', ''), 'base64'),
  )
const code = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    return isFault(error) ? error.code : String(error)
  }
  return 'nothing was thrown'
}

test('a ring of several epochs that was sealed comes back, and its parts say whose it is', t => {
  const ring = withNewEpoch(createKeyRing())
  const encoded = encodeKeyRing(ring)
  const { sealed_key, sealed_w, kid } = sealUserKey(encoded, owner, checkSlot(signedSlot(), identity))
  t.deepEqual(ownerOf(sealed_key), owner)
  t.is(kid, kidOf(2, sealed_key))
  t.regex(kid, /^2-[0-9a-f]{32}$/)
  const back = openUserKey(sealed_key, unseal(sealed_w), owner)
  t.true(back.equals(encoded))
  t.is(decodeKeyRing(back).newestEpoch, 2)
  t.true(back.secure)
})

test('neither half says anything of the key alone', t => {
  const encoded = encodeKeyRing(createKeyRing())
  const { sealed_key, sealed_w } = sealUserKey(encoded, owner, slotKeys.publicKey)
  const key = encoded.subarray(4)
  t.is(sealed_key.indexOf(key), -1)
  t.is(unseal(sealed_w).indexOf(key), -1)
  // Sealed twice, nothing is the same: no W is used again.
  const again = sealUserKey(encoded, owner, slotKeys.publicKey)
  t.notDeepEqual(again.sealed_key, sealed_key)
  t.notDeepEqual(unseal(again.sealed_w).subarray(0, 32), unseal(sealed_w).subarray(0, 32))
})

test("another's sealed key, epoch, slot, tenant or W does not open", t => {
  const encoded = encodeKeyRing(createKeyRing())
  const one = sealUserKey(encoded, owner, slotKeys.publicKey)
  const other = sealUserKey(encoded, owner, slotKeys.publicKey)
  const opened = unseal(one.sealed_w)
  t.is(
    code(() => openUserKey(other.sealed_key, opened, owner)),
    'SEALED_KEY_DOES_NOT_OPEN',
  )
  for (const change of [{ tenant: 'acmf' }, { slot: `s-${'f'.repeat(32)}` }, { epoch: 1 }])
    t.is(
      code(() => openUserKey(one.sealed_key, opened, { ...owner, ...change })),
      'SEALED_KEY_DOES_NOT_OPEN',
    )
  // Even if a keystore that lies commits to it.
  const wrongW = Buffer.concat([randomBytes(32), createHash('sha256').update(one.sealed_key).digest()])
  t.is(
    code(() => openUserKey(one.sealed_key, wrongW, owner)),
    'SEALED_KEY_DOES_NOT_OPEN',
  )
})

test('a sealed key with any single byte changed, or cut anywhere, does not open', t => {
  const { sealed_key, sealed_w } = sealUserKey(encodeKeyRing(createKeyRing()), owner, slotKeys.publicKey)
  const opened = unseal(sealed_w)
  const lying = (bytes: Buffer): Buffer => Buffer.concat([opened.subarray(0, 32), createHash('sha256').update(bytes).digest()])
  for (let at = 0; at < sealed_key.length; at++) {
    const altered = Buffer.from(sealed_key)
    altered[at] = (altered[at] as number) ^ (1 << (at % 8))
    t.regex(
      code(() => openUserKey(altered, opened, owner)),
      /^SEALED_KEY_/,
    )
    t.regex(
      code(() => openUserKey(altered, lying(altered), owner)),
      /^SEALED_KEY_/,
    )
    const cut = sealed_key.subarray(0, at)
    t.regex(
      code(() => openUserKey(cut, lying(cut), owner)),
      /^SEALED_KEY_/,
    )
  }
})

test('bytes of any kind are refused as a sealed key, and nothing else happens', t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      const prefixed = Buffer.concat([Buffer.from('HFK\x01', 'latin1'), bytes])
      return [Buffer.from(bytes), prefixed].every(one => code(() => openUserKey(one, Buffer.alloc(64), owner)).startsWith('SEALED_KEY_'))
    }),
  )
  t.pass()
})

test('a slot is taken only with the signature of the identity that the link names, for this tenant, slot and key', t => {
  t.is(checkSlot(signedSlot(), identity).asymmetricKeyType, 'rsa')
  t.is(identityHash(identity).length, 43)
  const stranger = generateKeyPairSync('ed25519')
  const otherKey = generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey
  const smallKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
  const pem = (key: typeof otherKey): string => key.export({ type: 'spki', format: 'pem' }).toString()
  const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const forged: Partial<Slot>[] = [
    { tenant: 'acmf' },
    { slot: `s-${'f'.repeat(32)}` },
    { slot: '../other' },
    { public_key: pem(otherKey) },
    { public_key: pem(smallKey), signature: sign(null, slotStatement('acme', slotName, smallKey), identityKeys.privateKey).toString('base64') },
    { public_key: pem(ecKey), signature: sign(null, slotStatement('acme', slotName, ecKey), identityKeys.privateKey).toString('base64') },
    { public_key: 'no key' },
    { signature: sign(null, slotStatement('acme', slotName, slotKeys.publicKey), stranger.privateKey).toString('base64') },
    { signature: '' },
  ]
  for (const change of forged)
    t.is(
      code(() => checkSlot(signedSlot(change), identity)),
      'SLOT_FORGED',
      JSON.stringify(change).slice(0, 80),
    )
  t.is(
    code(() => checkSlot(signedSlot(), identity.subarray(1))),
    'SLOT_FORGED',
  )
  t.is(createPublicKey(pem(otherKey)).asymmetricKeyDetails?.modulusLength, 3072)
})
