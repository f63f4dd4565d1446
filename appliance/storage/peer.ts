// Who is at the other end of a connection: the certificate that the TLS handshake has checked against the site's CA.
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

export type Peer = {
  /** SHA-256 of the certificate in DER form, base64url (x5t#S256). */
  readonly thumbprint: string
  readonly valid_until_ms: number
}

const peers = new WeakMap<Socket, Peer>()

/** The certificate of a connection, or undefined if there is none, it is not of the site's CA, or its time is over. */
export function peerOf(socket: Socket): Peer | undefined {
  const peer = peers.get(socket) ?? identify(socket)
  if (!peer || peer.valid_until_ms <= Date.now()) return undefined
  peers.set(socket, peer)
  return peer
}

function identify(socket: Socket): Peer | undefined {
  // `authorized` alone is not enough: it says nothing of connections that presented no certificate and were resumed.
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (!certificate) return undefined
  return { thumbprint: createHash('sha256').update(certificate.raw).digest('base64url'), valid_until_ms: certificate.validToDate.getTime() }
}
