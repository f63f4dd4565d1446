// The certificates of a keystore that we run (X.509, P-256, RFC 5280): one CA for its servers, one for its clients, so that
// no client can pass for a server.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { CERTIFICATE_BACKDATE_MS } from '#protocol/limits.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const CERTIFICATE_MS = 10 * 365 * 24 * 3_600_000
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** Both in PEM. */
export type KeyAndCertificate = { readonly key: string; readonly certificate: string }

/** A new CA: its key and self-signed certificate. */
export async function makeCa(name: string): Promise<KeyAndCertificate> {
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    ...common(),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { key: await pemOf(keys.privateKey), certificate: certificate.toString('pem') }
}

/**
 * A key and a certificate for a node of the keystore, which is a client of the other nodes too.
 *
 * @param addresses  the IP addresses that it answers at
 */
export const makeServer = (ca: KeyAndCertificate, name: string, addresses: readonly string[]): Promise<KeyAndCertificate> =>
  makeLeaf(ca, name, [SERVER_AUTH, CLIENT_AUTH], [new x509.SubjectAlternativeNameExtension(addresses.map(value => ({ type: 'ip', value })))])

/** A key and a certificate for a client of the keystore. */
export const makeClient = (ca: KeyAndCertificate, name: string): Promise<KeyAndCertificate> => makeLeaf(ca, name, [CLIENT_AUTH], [])

async function makeLeaf(ca: KeyAndCertificate, name: string, usages: string[], more: x509.Extension[]): Promise<KeyAndCertificate> {
  const keys = await makeKeys()
  const issuer = new x509.X509Certificate(ca.certificate)
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(ca.key), ALGORITHM, false, ['sign'])
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: issuer.subject,
    subject: `CN=${name}`,
    publicKey: keys.publicKey,
    signingKey: signingKey as unknown as CryptoKey,
    ...common(),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...more,
    ],
  })
  return { key: await pemOf(keys.privateKey), certificate: certificate.toString('pem') }
}

const makeKeys = async (): Promise<webcrypto.CryptoKeyPair> =>
  (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
const pemOf = async (key: webcrypto.CryptoKey): Promise<string> => x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')

/** What all certificates have: a serial number of 126 random bits, the time that they are good for, and the algorithm. */
function common() {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  const now_ms = Date.now()
  return {
    serialNumber: Buffer.from(bytes).toString('hex'),
    notBefore: new Date(now_ms - CERTIFICATE_BACKDATE_MS),
    notAfter: new Date(now_ms + CERTIFICATE_MS),
    signingAlgorithm: ALGORITHM,
  }
}
