// A pairing link: what an admin hands to a user. One use, expiring, and it pins the site's CA, so that nobody
// between the two can pose as the appliance.
//   holdfast://HOST:PORT/pair?code=<32 bytes, base64url>&ca=<SHA-256 of the CA certificate in DER form, base64url>
//                             [&ks=<SHA-256 of the tenant's Ed25519 public key at the keystore, base64url>]
import { fault } from './errors.ts'

export type PairingLink = {
  readonly host: string
  readonly port: number
  readonly code: string
  readonly ca_sha256: string
  readonly keystore_sha256: string | undefined
}

const TOKEN = /^[A-Za-z0-9_-]{43}$/

/** The link as text. */
export const formatPairingLink = (link: PairingLink): string =>
  `holdfast://${link.host.includes(':') ? `[${link.host}]` : link.host}:${link.port}/pair?code=${link.code}&ca=${link.ca_sha256}${link.keystore_sha256 === undefined ? '' : `&ks=${link.keystore_sha256}`}`

/** @throws LINK_INVALID if the text is no pairing link */
export function parsePairingLink(text: string): PairingLink {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined
  const code = url?.searchParams.get('code') ?? ''
  const ca_sha256 = url?.searchParams.get('ca') ?? ''
  const keystore_sha256 = url?.searchParams.get('ks') ?? undefined
  const port = Number(url?.port)
  const isWhole = TOKEN.test(code) && TOKEN.test(ca_sha256) && (keystore_sha256 === undefined || TOKEN.test(keystore_sha256))
  if (!url || url.protocol !== 'holdfast:' || url.pathname !== '/pair' || !url.hostname || !(port > 0) || !isWhole) {
    throw fault('LINK_INVALID', { expected: 'holdfast://HOST:PORT/pair?code=…&ca=…', found: 'another text', next: 'copy the whole link, in quotation marks' })
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port, code, ca_sha256, keystore_sha256 }
}
