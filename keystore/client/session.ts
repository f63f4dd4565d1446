// node-vault, held so that it can do nothing of its own accord. By itself it reads addresses, tokens, namespaces and whether
// to check certificates from the environment, follows redirects with the token, obeys proxies, has no time limit, and keeps
// the token in the options that it hands around. Here it gets a transport in place of its own (`request-promise`, a door
// that it still has), no token and no environment, and only what is exposed below can be called. One object per session.
import nodeVault from 'node-vault'
import { faultOfAnswer } from './answers.ts'
import { fault } from './errors.ts'
import { checkedPath } from './path.ts'
import type { Method, Transport } from './transport.ts'

export type Session = {
  readonly address: string
  /** GET. @throws KEYSTORE_* */
  read(path: string): Promise<unknown>
  /** POST. @throws KEYSTORE_* */
  write(path: string, data: object): Promise<unknown>
  /** POST whose answer holds a secret: bytes, the caller's to wipe. @throws KEYSTORE_* */
  writeForBytes(path: string, data: object): Promise<Buffer>
}

/** What setting a keystore up takes besides. */
export type AdminSession = Session & {
  /** The names there; none if there is no such path. @throws KEYSTORE_* */
  list(path: string): Promise<unknown>
  /** DELETE. @throws KEYSTORE_* */
  remove(path: string): Promise<unknown>
}

export type SessionOptions = {
  readonly token?: string | undefined
  /** The act of ours that the requests belong to, for the keystore's audit log. */
  readonly act?: string | undefined
  /** For each request; the transport's own limit if absent. */
  readonly timeout_ms?: number | undefined
}

/** What node-vault hands to its transport, as far as it is used. */
type Handed = { readonly method: Method; readonly uri: string; readonly json?: object; readonly isSecret?: boolean }

/**
 * A session with one node.
 *
 * @param address  one of the transport's
 * @param options  token: lives in this session only, and is in none of its properties
 */
export function openSession(transport: Transport, address: string, options: SessionOptions = {}): Session {
  const { read, write, writeForBytes } = openAdminSession(transport, address, options)
  return { address, read, write, writeForBytes }
}

/** As openSession(), for provisioning. */
export function openAdminSession(transport: Transport, address: string, { token, act, timeout_ms }: SessionOptions): AdminSession {
  const base = `${address}/v1/`
  const hand = async ({ method, uri, json, isSecret }: Handed): Promise<{ statusCode: number; body: unknown; request: { path: string } }> => {
    if (!uri.startsWith(base)) throw fault('KEYSTORE_NAME_INVALID', { expected: 'a path at this address', found: 'another address' })
    const path = uri.slice(base.length)
    const asked = { address, method, path, token, act, timeout_ms, body: json, isSecret }
    const answered = await transport.send(asked)
    if (answered.status < 200 || answered.status >= 300) throw await faultOfAnswer(transport, asked, answered)
    // node-vault takes any success but these two for a failure.
    return { statusCode: answered.body === undefined ? 204 : 200, body: answered.body, request: { path } }
  }
  const vault = nodeVault({ endpoint: address, debug: () => {}, requestOptions: {}, 'request-promise': { defaults: () => hand } })
  // Read from the environment when it was made.
  Object.assign(vault, { token: undefined, namespace: undefined, pathPrefix: '', apiVersion: 'v1', endpoint: address })
  return {
    address,
    read: async path => (await vault.read(checkedPath(path))) as unknown,
    write: async (path, data) => (await vault.write(checkedPath(path), data)) as unknown,
    async writeForBytes(path, data) {
      const bytes: unknown = await vault.write(checkedPath(path), data, { isSecret: true })
      if (!Buffer.isBuffer(bytes)) throw fault('KEYSTORE_ANSWER_INVALID', { expected: 'an answer with a body', found: `none from ${path}` })
      return bytes
    },
    list: async path => (await vault.list(checkedPath(path))) as unknown,
    remove: async path => (await vault.delete(checkedPath(path))) as unknown,
  }
}
