// The age format: what we write opens, what another program wrote opens, and nothing that was changed does.
// vectors/another-program.age: made once with pyrage 1.3 (rage), of the text 'from another program'.
import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { decrypt, encrypt, makeIdentity } from '#keystore-operate/age.ts'
import { fromBech32, toBech32 } from '#keystore-operate/bech32.ts'
import { isFault } from '#protocol/fault.ts'

const VECTORS = join(import.meta.dirname, 'vectors')
const PIECE = 64 * 1024
const [ann, bob, eve] = [makeIdentity(), makeIdentity(), makeIdentity()]

async function* inParts(content: Buffer, length = 50_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += length) yield content.subarray(at, at + length)
}
const whole = async (stream: AsyncIterable<Buffer>): Promise<Buffer> => Buffer.concat(await Array.fromAsync(stream))
const contentOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 7) % 251))

test('what is encrypted to two people opens for each of them, whatever its length, and for nobody else', async t => {
  for (const length of [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 300_000]) {
    const content = contentOf(length)
    const sealed = await whole(encrypt(inParts(content), [ann.recipient, bob.recipient]))
    for (const { identity } of [ann, bob]) t.true((await whole(decrypt(inParts(sealed, 1000), [eve.identity, identity]))).equals(content), `${length} bytes`)
    t.true(isFault(await t.throwsAsync(whole(decrypt(inParts(sealed), [eve.identity]))), 'AGE_NOT_FOR_US'))
  }
})

test('what another program encrypted opens', async t => {
  const identity = readFileSync(join(VECTORS, 'another-program.identity'), 'utf8').trim()
  const stream = createReadStream(join(VECTORS, 'another-program.age')) as AsyncIterable<Buffer>
  t.is((await whole(decrypt(stream, [identity]))).toString(), 'from another program')
})

test('nothing that was changed, cut off, or put in another order opens', async t => {
  const content = contentOf(3 * PIECE)
  const sealed = await whole(encrypt(inParts(content), [ann.recipient]))
  const begin = sealed.length - 3 * (PIECE + 16)
  const piece = (at: number): Buffer => sealed.subarray(begin + at * (PIECE + 16), begin + (at + 1) * (PIECE + 16))
  const head = sealed.subarray(0, begin)
  const altered = (at: number): Buffer => {
    const copy = Buffer.from(sealed)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const bad: Readonly<Record<string, Buffer>> = {
    'a byte of the content': altered(begin + 5),
    'the last byte': altered(sealed.length - 1),
    'the nonce': altered(begin - 1),
    'the end is missing': sealed.subarray(0, -1),
    'the last piece is missing': sealed.subarray(0, begin + 2 * (PIECE + 16)),
    'two pieces change places': Buffer.concat([head, piece(1), piece(0), piece(2)]),
    'a piece more': Buffer.concat([sealed, piece(2)]),
    'the head alone': head.subarray(0, 40),
    'something else': Buffer.from('something else'),
    nothing: Buffer.alloc(0),
  }
  for (const [what, bytes] of Object.entries(bad)) t.true(isFault(await t.throwsAsync(whole(decrypt(inParts(bytes), [ann.identity]))), 'AGE_DAMAGED'), what)
  const mac = altered(head.indexOf('--- ') + 6)
  t.true(isFault(await t.throwsAsync(whole(decrypt(inParts(mac), [ann.identity]))), 'AGE_DAMAGED'), 'the authenticator of the head')
})

test('a key with a slip in it is refused', async t => {
  const slip = ann.recipient.replace(/.$/, last => (last === 'q' ? 'p' : 'q'))
  t.true(isFault(await t.throwsAsync(whole(encrypt(inParts(Buffer.alloc(1)), [slip]))), 'AGE_KEY_INVALID'))
  // BIP 173 has both.
  t.deepEqual(fromBech32('abcdef', 'abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw')?.length, 20)
  t.is(fromBech32('a', 'A1G7SGD8'), undefined)
  t.is(
    toBech32('abcdef', fromBech32('abcdef', 'abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw') ?? Buffer.alloc(0)),
    'abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw',
  )
})
