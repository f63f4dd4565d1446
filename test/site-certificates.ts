// A site's certificates and tickets for tests: made here, not by the authority, so that tests of the storage node can
// also make what an authority never would.
import 'reflect-metadata'
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { SignJWT } from 'jose'
import { TICKET_AUDIENCE, TICKET_ISSUER, TICKET_TYPE } from '#protocol/ticket.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const DAY_MS = 24 * 3_600_000

export type Credentials = { readonly key: string; readonly certificate: string; readonly thumbprint: string }
export type Ca = Credentials & { readonly name: string; readonly signingKey: webcrypto.CryptoKey }
export type Device = Credentials & { readonly device: string; readonly archive: string }
export type Validity = { readonly from_ms?: number; readonly until_ms?: number }

/** Claims and header of a ticket, where they differ from a good one. */
export type TicketChanges = {
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  readonly key?: KeyObject
}

export type TestSite = {
  readonly ca: Ca
  readonly server: Credentials
  readonly authority: Credentials
  readonly ticket_public_key: string
  device(validity?: Validity): Promise<Device>
  ticket(device: Device, changes?: TicketChanges): Promise<string>
}

export async function makeSite(): Promise<TestSite> {
  const ca = await makeCa('Test site')
  const tickets = generateKeyPairSync('ed25519')
  return {
    ca,
    server: await makeCertificate(ca, 'storage node', [SERVER_AUTH, CLIENT_AUTH]),
    authority: await makeCertificate(ca, 'authority', [SERVER_AUTH, CLIENT_AUTH]),
    ticket_public_key: tickets.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    device: validity => makeDevice(ca, validity),
    ticket(device, { claims = {}, header = {}, key = tickets.privateKey } = {}) {
      const now_s = Math.floor(Date.now() / 1000)
      const good = {
        iss: TICKET_ISSUER,
        aud: TICKET_AUDIENCE,
        iat: now_s,
        exp: now_s + 300,
        sub: device.device,
        tenant: 'main',
        archive: device.archive,
        verbs: ['backup', 'restore'],
        cnf: { 'x5t#S256': device.thumbprint },
      }
      return new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg: 'EdDSA', typ: TICKET_TYPE, ...header }).sign(key)
    },
  }
}

export async function makeDevice(ca: Ca, validity: Validity = {}): Promise<Device> {
  const device = randomBytes(16).toString('hex')
  return { ...(await makeCertificate(ca, device, [CLIENT_AUTH], validity)), device, archive: randomBytes(16).toString('hex') }
}

export async function makeCa(name: string): Promise<Ca> {
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...during({}),
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
  })
  return { ...(await credentials(keys, certificate)), name: `CN=${name}`, signingKey: keys.privateKey }
}

async function makeCertificate(ca: Ca, name: string, usages: string[], validity: Validity = {}): Promise<Credentials> {
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    issuer: ca.name,
    subject: `CN=${name}`,
    publicKey: keys.publicKey,
    signingKey: ca.signingKey as unknown as CryptoKey,
    signingAlgorithm: ALGORITHM,
    ...during(validity),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ],
  })
  return credentials(keys, certificate)
}

async function credentials(keys: webcrypto.CryptoKeyPair, certificate: x509.X509Certificate): Promise<Credentials> {
  return {
    key: x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
    certificate: certificate.toString('pem'),
    thumbprint: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('base64url'),
  }
}

const makeKeys = async (): Promise<webcrypto.CryptoKeyPair> =>
  (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
const during = ({ from_ms = Date.now() - DAY_MS, until_ms = Date.now() + 30 * DAY_MS }: Validity): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(from_ms),
  notAfter: new Date(until_ms),
})
const serial = (): string => `40${randomBytes(15).toString('hex')}`
