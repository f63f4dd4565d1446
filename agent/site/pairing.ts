// The two conversations of pairing: first with somebody who may be anybody, to learn the site's CA and compare it with
// the link; then with the authority, which must have a certificate of that CA. Nothing secret is sent in the first.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { Agent } from 'node:https'
import { AUTHORITY_PATHS, Ca, type Pair, Paired, type PairedEscrow } from '#protocol/authority-api.ts'
import type { PairingLink } from '#protocol/pairing-link.ts'
import { fault } from './errors.ts'
import type { Identity } from './identity.ts'
import { sendForJson } from './request.ts'

export type PairedIdentity = { readonly identity: Identity; readonly escrow: PairedEscrow | null }

/** Where the authority of a link is. */
export const authorityOf = (link: PairingLink): string => `https://${link.host.includes(':') ? `[${link.host}]` : link.host}:${link.port}`

/**
 * The site's CA, in PEM, which is the one that the link names.
 *
 * @throws CA_MISMATCH, UNREACHABLE
 */
export async function fetchCa(link: PairingLink, signal?: AbortSignal): Promise<string> {
  // Whoever answers is not believed: the hash in the link decides.
  const agent = new Agent({ minVersion: 'TLSv1.3', rejectUnauthorized: false })
  try {
    const { ca } = await sendForJson(Ca, { origin: authorityOf(link), agent, method: 'GET', path: AUTHORITY_PATHS.ca, signal })
    const found = thumbprintOf(ca)
    if (found !== link.ca_sha256) throw fault('CA_MISMATCH', { expected: `a CA with the hash ${link.ca_sha256}`, found: found ?? 'no certificate' })
    return ca
  } finally {
    agent.destroy()
  }
}

/**
 * Pairs: uses the link up. What comes back is checked to be for this key and of this CA.
 *
 * @param privateKey  the device's key, PKCS#8 in PEM, whose request is in `pair`
 * @returns who this device is now, and what it must know of the keystore, whose identity is that of the link
 * @throws what the authority answers (LINK_INVALID, PASSWORD_WRONG, …), CLOCK_WRONG, SITE_UNTRUSTED, UNREACHABLE, ANSWER_INVALID, KEYSTORE_MISMATCH
 */
export async function pairDevice(link: PairingLink, ca: string, pair: Pair, privateKey: Buffer, signal?: AbortSignal): Promise<PairedIdentity> {
  const agent = new Agent({ minVersion: 'TLSv1.3', ca })
  try {
    const authority = authorityOf(link)
    const paired = await sendForJson(Paired, { origin: authority, agent, method: 'POST', path: AUTHORITY_PATHS.pair, body: pair, signal })
    if (thumbprintOf(paired.ca) !== link.ca_sha256) throw fault('CA_MISMATCH', { expected: 'the CA of the link', found: 'another in the answer' })
    if (!isFor(paired.certificate, privateKey)) throw fault('ANSWER_INVALID', { expected: "a certificate for this device's key", found: 'another' })
    if (!URL.canParse(paired.storage) || new URL(paired.storage).protocol !== 'https:')
      throw fault('ANSWER_INVALID', { expected: 'an https address', found: 'another' })
    const { device, user, tenant, archive, certificate, storage, escrow } = paired
    const identity: Identity = { device, user, tenant, archive, certificate, ca, authority, storage: storage.replace(/\/+$/, '') }
    const found = escrow ? hashOf(Buffer.from(escrow.identity, 'base64')) : undefined
    if (found !== link.keystore_sha256) throw fault('KEYSTORE_MISMATCH', { expected: link.keystore_sha256 ?? 'no keystore', found: found ?? 'none' })
    return { identity: escrow ? { ...identity, keystore_identity: escrow.identity } : identity, escrow }
  } finally {
    agent.destroy()
  }
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('base64url')

/** SHA-256 of a certificate in DER form, base64url; undefined if it is none. */
function thumbprintOf(pem: string): string | undefined {
  try {
    return hashOf(new X509Certificate(pem).raw)
  } catch {
    return undefined
  }
}

function isFor(certificate: string, privateKey: Buffer): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey))
  } catch {
    return false
  }
}
