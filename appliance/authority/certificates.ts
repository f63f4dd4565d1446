// The site's certificates (X.509, P-256, RFC 5280): one CA, server certificates of authority and storage node, the
// authority's client certificate, and device certificates over keys that never leave their devices.
import 'reflect-metadata'
import { createHash, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { fault } from '#protocol/errors.ts'
import { CERTIFICATE_BACKDATE_MS, DEVICE_CERTIFICATE_MS } from '#protocol/limits.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const SITE_CERTIFICATE_MS = 10 * 365 * 24 * 3_600_000
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

export type KeyAndCertificate = { readonly key: string; readonly certificate: string }

/** A new CA: its key and self-signed certificate, in PEM. */
export async function makeCa(name: string, now_ms: number): Promise<KeyAndCertificate> {
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity(now_ms, SITE_CERTIFICATE_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { key: await pemOf(keys.privateKey), certificate: certificate.toString('pem') }
}

/** A key and a certificate of the CA for a server that answers under these host names and addresses, which may be a client too. */
export async function makeServer(ca: KeyAndCertificate, name: string, hosts: readonly string[], now_ms: number): Promise<KeyAndCertificate> {
  const keys = await makeKeys()
  const names = [...new Set(hosts)].map(host => ({ type: isAddress(host) ? ('ip' as const) : ('dns' as const), value: host }))
  const certificate = await sign(ca, keys.publicKey, name, [SERVER_AUTH, CLIENT_AUTH], now_ms, SITE_CERTIFICATE_MS, [
    new x509.SubjectAlternativeNameExtension(names),
  ])
  return { key: await pemOf(keys.privateKey), certificate }
}

/**
 * A device's certificate for the key in its request; nothing else of the request is used.
 *
 * @param csr  PKCS#10 in PEM, P-256, signed with its own key
 * @throws CSR_INVALID
 */
export async function signDevice(ca: KeyAndCertificate, device: string, csr: string, now_ms: number): Promise<string> {
  let request: x509.Pkcs10CertificateRequest
  let publicKey: webcrypto.CryptoKey
  try {
    request = new x509.Pkcs10CertificateRequest(csr)
    publicKey = (await request.publicKey.export(ALGORITHM, ['verify'])) as webcrypto.CryptoKey
    if (!(await request.verify())) throw new Error('its signature is wrong')
  } catch (cause) {
    throw fault('CSR_INVALID', { expected: 'a PKCS#10 request over a P-256 key, signed with it', cause })
  }
  return sign(ca, publicKey, device, [CLIENT_AUTH], now_ms, DEVICE_CERTIFICATE_MS, [])
}

async function sign(
  ca: KeyAndCertificate,
  publicKey: webcrypto.CryptoKey,
  name: string,
  usages: string[],
  now_ms: number,
  length_ms: number,
  more: x509.Extension[],
): Promise<string> {
  const issuer = new x509.X509Certificate(ca.certificate)
  const signingKey = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(ca.key), ALGORITHM, false, ['sign'])
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    issuer: issuer.subject,
    subject: `CN=${name}`,
    publicKey: publicKey as unknown as x509.PublicKeyType,
    signingKey: signingKey as unknown as CryptoKey,
    signingAlgorithm: ALGORITHM,
    ...validity(now_ms, length_ms),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...more,
    ],
  })
  return certificate.toString('pem')
}

/** SHA-256 of a certificate in DER form, base64url: how links, tickets and lists name it. */
export const thumbprintOf = (pem: string): string =>
  createHash('sha256')
    .update(Buffer.from(new x509.X509Certificate(pem).rawData))
    .digest('base64url')

/** When a certificate ends, in ms since 1970. */
export const endOf = (pem: string): number => new x509.X509Certificate(pem).notAfter.getTime()

const makeKeys = async (): Promise<webcrypto.CryptoKeyPair> =>
  (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
const pemOf = async (key: webcrypto.CryptoKey): Promise<string> => x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
/** 127 random bits, positive. */
function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return Buffer.from(bytes).toString('hex')
}
const validity = (now_ms: number, length_ms: number): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(now_ms - CERTIFICATE_BACKDATE_MS),
  notAfter: new Date(now_ms + length_ms),
})
const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(':')
