// The set-up server's certificate: made when it starts, self-signed, its key in memory only. What makes it trusted is its
// fingerprint on the screen.
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { CERTIFICATE_BACKDATE_MS } from '#protocol/limits.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
/** Longer than any clock at set-up is wrong, one at 1970 aside, which systemd sets to the day of the image. */
const VALID_MS = 20 * 365 * 24 * 3_600_000

export type SetupCertificate = { readonly key: string; readonly certificate: string; readonly fingerprint: string }

/** @param hosts  names that it is for; browsers compare, people go by the fingerprint */
export async function makeCertificate(hosts: readonly string[], now_ms: number): Promise<SetupCertificate> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: `40${randomBytes(15).toString('hex')}`,
    name: 'CN=Holdfast set-up',
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(now_ms - CERTIFICATE_BACKDATE_MS),
    notAfter: new Date(now_ms + VALID_MS),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      new x509.SubjectAlternativeNameExtension(hosts.map(value => ({ type: /^[\d.]+$|:/.test(value) ? ('ip' as const) : ('dns' as const), value }))),
    ],
  })
  const fingerprint = Buffer.from(await certificate.getThumbprint('SHA-256'))
    .toString('hex')
    .toUpperCase()
  return {
    key: x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'),
    certificate: certificate.toString('pem'),
    fingerprint: (fingerprint.match(/../g) ?? []).join(':'),
  }
}
