// Encryption of snapshots to several people's public keys, while they stream: the age format (age-encryption.org/v1, X25519
// recipients). Chosen over a format of our own because a snapshot is opened on the worst day: any `age` program opens it,
// without us. Each file has its own key (16 bytes), sealed to each recipient by X25519, HKDF-SHA256 and ChaCha20-Poly1305;
// the head is authenticated; the content runs in pieces of 64 KiB, numbered, the last one marked, so that nothing can be cut
// off, swapped or left out.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { fromBech32, toBech32 } from './bech32.ts'
import { fault } from './errors.ts'

const VERSION = 'age-encryption.org/v1'
const RECIPIENT_PREFIX = 'age'
const IDENTITY_PREFIX = 'age-secret-key-'
const FILE_KEY_BYTES = 16
const NONCE_BYTES = 16
const TAG_BYTES = 16
const PIECE_BYTES = 64 * 1024
const HEAD_BYTES_MAX = 64 * 1024
const CIPHER = 'chacha20-poly1305'
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex')
const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** A new identity (secret) and its recipient (public). */
export function makeIdentity(): { identity: string; recipient: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  const secret = privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(X25519_PKCS8.length)
  const made = { identity: toBech32(IDENTITY_PREFIX, secret).toUpperCase(), recipient: toBech32(RECIPIENT_PREFIX, rawOf(publicKey)) }
  secret.fill(0)
  return made
}

/** @throws AGE_KEY_INVALID unless it is a recipient, age1… */
export function checkRecipient(recipient: string): void {
  if (fromBech32(RECIPIENT_PREFIX, recipient)?.length !== 32) throw fault('AGE_KEY_INVALID', { expected: 'a recipient age1…', found: recipient.slice(0, 12) })
}

/**
 * Encrypts as it streams.
 *
 * @param recipients  age1…: each of them alone can open it
 * @throws AGE_KEY_INVALID
 */
export async function* encrypt(source: AsyncIterable<Buffer>, recipients: readonly string[]): AsyncGenerator<Buffer> {
  const fileKey = randomBytes(FILE_KEY_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  const lines = [VERSION, ...recipients.flatMap(recipient => stanzaOf(fileKey, recipient)), '---'].join('\n')
  yield Buffer.concat([Buffer.from(`${lines} ${base64(macOf(fileKey, lines))}\n`), nonce])
  const key = derive(fileKey, nonce, 'payload')
  fileKey.fill(0)
  for await (const { piece, number, isLast } of piecesOf(source, PIECE_BYTES)) yield sealPiece(key, piece, number, isLast)
  key.fill(0)
}

/**
 * Decrypts as it streams: what was yielded is authentic, and the end is only reached if nothing is missing.
 *
 * @param identities  AGE-SECRET-KEY-1…: one of them must be a recipient's
 * @throws AGE_KEY_INVALID, AGE_NOT_FOR_US, AGE_DAMAGED
 */
export async function* decrypt(source: AsyncIterable<Buffer>, identities: readonly string[]): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]()
  let held: Buffer = Buffer.alloc(0)
  let head: Head | undefined
  while ((head = headIn(held)) === undefined || held.length < head.end + NONCE_BYTES) {
    const next = await iterator.next()
    if (next.done === true || held.length > HEAD_BYTES_MAX) throw fault('AGE_DAMAGED', { expected: `a head of ${VERSION}`, found: 'none' })
    held = Buffer.concat([held, next.value])
  }
  const fileKey = openHead(head, identities)
  const key = derive(fileKey, held.subarray(head.end, head.end + NONCE_BYTES), 'payload')
  fileKey.fill(0)
  const rest = held.subarray(head.end + NONCE_BYTES)
  const content = async function* (): AsyncGenerator<Buffer> {
    yield rest
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  }
  for await (const { piece, number, isLast } of piecesOf(content(), PIECE_BYTES + TAG_BYTES)) yield openPiece(key, piece, number, isLast)
  key.fill(0)
}

type Head = { readonly text: string; readonly mac: string; readonly stanzas: readonly { share: Buffer; body: Buffer }[]; readonly end: number }

function stanzaOf(fileKey: Buffer, recipient: string): string[] {
  const raw = fromBech32(RECIPIENT_PREFIX, recipient)
  if (raw?.length !== 32) throw fault('AGE_KEY_INVALID', { expected: 'a recipient age1…', found: recipient.slice(0, 12) })
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  const share = rawOf(publicKey)
  const wrapping = wrapKey(diffieHellman({ privateKey, publicKey: publicOf(raw) }), share, raw)
  const cipher = createCipheriv(CIPHER, wrapping, Buffer.alloc(12), { authTagLength: TAG_BYTES })
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()])
  return [`-> X25519 ${base64(share)}`, base64(body)]
}

const HEAD = /^age-encryption\.org\/v1\n([\s\S]*?\n)--- ([A-Za-z0-9+/]{43})\n/
const STANZA = /^-> X25519 ([A-Za-z0-9+/]{43})\n([A-Za-z0-9+/]{43})\n/gm

function headIn(bytes: Buffer): Head | undefined {
  const [all, stanzas = '', mac = ''] = HEAD.exec(bytes.toString('latin1', 0, HEAD_BYTES_MAX)) ?? []
  if (all === undefined) return undefined
  const parsed = [...stanzas.matchAll(STANZA)].map(([, share = '', body = '']) => ({ share: Buffer.from(share, 'base64'), body: Buffer.from(body, 'base64') }))
  return { text: all.slice(0, -mac.length - 2), mac, stanzas: parsed, end: all.length }
}

function openHead({ text, mac, stanzas }: Head, identities: readonly string[]): Buffer {
  for (const identity of identities) {
    const secret = fromBech32(IDENTITY_PREFIX, identity)
    if (secret?.length !== 32) throw fault('AGE_KEY_INVALID', { expected: 'an identity AGE-SECRET-KEY-1…', found: 'something else' })
    const privateKey = createPrivateKey({ key: Buffer.concat([X25519_PKCS8, secret]), format: 'der', type: 'pkcs8' })
    secret.fill(0)
    const own = rawOf(createPublicKey(privateKey))
    for (const { share, body } of stanzas) {
      const fileKey = unwrap(wrapKey(diffieHellman({ privateKey, publicKey: publicOf(share) }), share, own), body)
      if (!fileKey) continue
      if (!timingSafeEqual(macOf(fileKey, text), Buffer.from(mac, 'base64')))
        throw fault('AGE_DAMAGED', { expected: 'a head as it was written', found: 'another' })
      return fileKey
    }
  }
  throw fault('AGE_NOT_FOR_US', { found: `${stanzas.length} recipients, and none of them has this identity` })
}

function unwrap(key: Buffer, body: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(CIPHER, key, Buffer.alloc(12), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(body.subarray(FILE_KEY_BYTES))
  try {
    return Buffer.concat([decipher.update(body.subarray(0, FILE_KEY_BYTES)), decipher.final()])
  } catch {
    return undefined
  }
}

/** Pieces of this length; the last one is shorter or as long, and empty only if there is nothing at all. */
async function* piecesOf(source: AsyncIterable<Buffer>, length: number): AsyncGenerator<{ piece: Buffer; number: number; isLast: boolean }> {
  let held: Buffer = Buffer.alloc(0)
  let number = 0
  for await (const part of source) {
    held = held.length === 0 ? part : Buffer.concat([held, part])
    // One more byte must be there, to know that this is not the last.
    let at = 0
    for (; held.length - at > length; at += length) yield { piece: held.subarray(at, at + length), number: number++, isLast: false }
    held = held.subarray(at)
  }
  yield { piece: held, number, isLast: true }
}

function sealPiece(key: Buffer, piece: Buffer, number: number, isLast: boolean): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonceOf(number, isLast), { authTagLength: TAG_BYTES })
  return Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()])
}

function openPiece(key: Buffer, piece: Buffer, number: number, isLast: boolean): Buffer {
  const damaged = (): Error =>
    fault('AGE_DAMAGED', { expected: `piece ${number + 1} as it was written`, found: isLast ? 'it was altered, or the end is missing' : 'it was altered' })
  if (piece.length < TAG_BYTES || (piece.length === TAG_BYTES && number > 0)) throw damaged()
  const decipher = createDecipheriv(CIPHER, key, nonceOf(number, isLast), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(piece.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(piece.subarray(0, -TAG_BYTES)), decipher.final()])
  } catch {
    throw damaged()
  }
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(number, 5, 6)
  nonce[11] = isLast ? 1 : 0
  return nonce
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replaceAll('=', '')
const derive = (secret: Uint8Array, salt: Uint8Array, info: string): Buffer => Buffer.from(hkdfSync('sha256', secret, salt, info, 32))
const wrapKey = (secret: Buffer, share: Buffer, recipient: Buffer): Buffer => derive(secret, Buffer.concat([share, recipient]), `${VERSION}/X25519`)
const macOf = (fileKey: Uint8Array, head: string): Buffer =>
  createHmac('sha256', derive(fileKey, Buffer.alloc(0), 'header'))
    .update(head, 'latin1')
    .digest()
const rawOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(X25519_SPKI.length)
const publicOf = (raw: Buffer): KeyObject => createPublicKey({ key: Buffer.concat([X25519_SPKI, raw]), format: 'der', type: 'spki' })
