import test from 'ava'
import { xaesOpen, xaesSeal } from '#format/xaes.ts'

const NONCE = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX')
const PLAINTEXT = Buffer.from('XAES-256-GCM')

for (const { key, associated, sealed } of [
  { key: 0x01, associated: '', sealed: 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271' },
  { key: 0x03, associated: 'c2sp.org/XAES-256-GCM', sealed: '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d' },
]) {
  test(`the vector of C2SP for key ${key} seals and opens`, t => {
    const target = Buffer.alloc(30)
    t.is(xaesSeal(Buffer.alloc(32, key), NONCE, Buffer.from(associated), [PLAINTEXT.subarray(0, 5), PLAINTEXT.subarray(5)], target, 2), 30)
    t.is(target.subarray(2).toString('hex'), sealed)
    t.deepEqual(xaesOpen(Buffer.alloc(32, key), NONCE, Buffer.from(associated), Buffer.from(sealed, 'hex')), PLAINTEXT)
  })
}

test('any flipped bit of ciphertext, tag, nonce, associated data or key does not open', t => {
  const parts = { key: Buffer.alloc(32, 9), nonce: Buffer.from(NONCE), associated: Buffer.from('about'), sealed: Buffer.alloc(28) }
  xaesSeal(parts.key, parts.nonce, parts.associated, [PLAINTEXT], parts.sealed, 0)
  const open = () => xaesOpen(parts.key, parts.nonce, parts.associated, parts.sealed)
  t.deepEqual(open(), PLAINTEXT)
  for (const bytes of Object.values(parts)) {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      t.is(open(), undefined)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    }
  }
  t.deepEqual(open(), PLAINTEXT)
})

test('a sealed text shorter than its tag does not open', t => {
  t.is(xaesOpen(Buffer.alloc(32), NONCE, Buffer.alloc(0), Buffer.alloc(15)), undefined)
})
