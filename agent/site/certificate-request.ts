// A device's key and the request (PKCS#10, RFC 2986) for its certificate. The request is one fixed shape, so it is put
// together here: five DER elements around the public key that node:crypto writes.
import { generateKeyPairSync, sign } from 'node:crypto'

export type DeviceKey = {
  /** PKCS#8 in PEM. Wiping it is the caller's. */
  readonly privateKey: Buffer
  /** PKCS#10 in PEM. */
  readonly request: string
}

const TAG = { integer: 0x02, bitString: 0x03, objectId: 0x06, utf8String: 0x0c, sequence: 0x30, set: 0x31, attributes: 0xa0 }
const COMMON_NAME = Buffer.from('550403', 'hex')
const ECDSA_WITH_SHA256 = Buffer.from('2a8648ce3d040302', 'hex')

/** One DER element; all here are shorter than 64 KiB. */
function element(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const length = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

/** A new P-256 key and the request over it; the subject is a mere formality, the authority chooses its own. */
export function createDeviceKey(): DeviceKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = element(TAG.sequence, element(TAG.objectId, COMMON_NAME), element(TAG.utf8String, Buffer.from('holdfast device')))
  const info = element(
    TAG.sequence,
    element(TAG.integer, Buffer.from([0])),
    element(TAG.sequence, element(TAG.set, name)),
    publicKey.export({ type: 'spki', format: 'der' }),
    element(TAG.attributes),
  )
  const signature = element(TAG.bitString, Buffer.from([0]), sign('sha256', info, privateKey))
  const der = element(TAG.sequence, info, element(TAG.sequence, element(TAG.objectId, ECDSA_WITH_SHA256)), signature)
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return {
    privateKey: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    request: `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`,
  }
}
