// A client for tests of the storage node: it speaks the protocol byte by byte, so that it can also break it.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { encodeSnapshotClear } from '#protocol/clear-part.ts'
import { frameRecord, KIND, type Kind } from '#protocol/record.ts'
import { BYTES_TYPE, SESSION_HEADER } from '#protocol/storage-api.ts'
import { type StorageNode, type StorageOptions, startStorage } from '#storage/storage-node.ts'
import { type Credentials, type Device, makeSite, type TestSite } from '../../site-certificates.ts'

export type Answer = { readonly status: number; readonly body: Buffer; readonly json: Record<string, unknown>; readonly code: unknown }
export type Ask = {
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string | number>>
  readonly body?: Buffer | object
  readonly agent?: Agent
  /** Called with the request, to send it by hand; nothing is sent for it otherwise. */
  readonly send?: (request: ReturnType<typeof httpsRequest>) => void
}

export const silent = (): void => {}

/** An agent with a device's certificate, or with none. */
export const agentOf = (site: TestSite, credentials: Credentials | undefined, options: object = {}): Agent =>
  new Agent({ keepAlive: true, ca: site.ca.certificate, ...(credentials ? { cert: credentials.certificate, key: credentials.key } : {}), ...options })

/** One request, whole. */
export async function ask(url: string, agent: Agent, { method = 'POST', path, headers = {}, body, agent: other, send }: Ask): Promise<Answer> {
  const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  const type = bytes === undefined ? {} : { 'content-type': Buffer.isBuffer(body) ? BYTES_TYPE : 'application/json', 'content-length': bytes.length }
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = httpsRequest(`${url}${path}`, { agent: other ?? agent, method, headers: { ...type, ...headers } }, resolve)
    request.on('error', reject)
    if (send) send(request)
    else request.end(bytes)
  })
  const parts: Buffer[] = []
  for await (const part of answer as AsyncIterable<Buffer>) parts.push(part)
  const whole = Buffer.concat(parts)
  const isJson = answer.headers['content-type']?.startsWith('application/json') ?? false
  const json = isJson ? (JSON.parse(whole.toString('utf8')) as Record<string, unknown>) : {}
  return { status: answer.statusCode ?? 0, body: whole, json, code: json['code'] }
}

export type Client = {
  readonly device: Device
  readonly agent: Agent
  ticket: string
  ask(path: string, more?: Omit<Ask, 'path'>): Promise<Answer>
  open(): Promise<string>
  upload(session: string, ...records: Buffer[]): Promise<Answer>
  missing(session: string, ids: readonly Buffer[]): Promise<Answer>
  commit(session: string, record: Buffer): Promise<Answer>
  read(ids: readonly Buffer[]): Promise<Answer>
  close(): void
}

/** A paired device; paths are relative to its archive. */
export async function makeClient(site: TestSite, url: string, device?: Device): Promise<Client> {
  const own = device ?? (await site.device())
  const agent = agentOf(site, own)
  const client: Client = {
    device: own,
    agent,
    ticket: await site.ticket(own),
    ask: (path, more = {}) =>
      ask(url, agent, { ...more, path: `/v1/archives/${own.archive}${path}`, headers: { authorization: `Ticket ${client.ticket}`, ...more.headers } }),
    async open() {
      const answer = await client.ask('/sessions', { body: {} })
      if (answer.status !== 200) throw new Error(`no session: ${String(answer.code)}`)
      return String(answer.json['session'])
    },
    upload: (session, ...records) => client.ask('/records', { body: Buffer.concat(records), headers: { [SESSION_HEADER]: session } }),
    missing: (session, ids) => client.ask('/missing', { body: Buffer.concat(ids), headers: { [SESSION_HEADER]: session } }),
    commit: (session, record) => client.ask('/snapshots', { body: record, headers: { [SESSION_HEADER]: session } }),
    read: ids => client.ask('/read', { body: Buffer.concat(ids) }),
    close: () => agent.destroy(),
  }
  return client
}

/** A site, its running storage node and one device; all of it goes when the test ends. */
export async function startNode(
  t: ExecutionContext,
  options: Partial<StorageOptions> = {},
): Promise<{ site: TestSite; node: StorageNode; home: string; url: string; client: Client; restart(): Promise<void> }> {
  const site = await makeSite()
  const home = await mkdtemp(join(tmpdir(), 'holdfast-storage-'))
  const start = (port: number): Promise<StorageNode> => startStorage({ ...optionsFor(site, home), log: error => t.log(error), ...options, port })
  const started = { node: await start(0) }
  const { url } = started.node
  const client = await makeClient(site, url)
  t.teardown(async () => {
    client.close()
    await started.node.close()
    await rm(home, { recursive: true, force: true })
  })
  const restart = async (): Promise<void> => {
    client.agent.destroy()
    await started.node.close()
    started.node = await start(Number(new URL(url).port))
  }
  return { site, node: started.node, home, url, client, restart }
}

export const optionsFor = (site: TestSite, home: string): StorageOptions => ({
  home,
  host: '127.0.0.1',
  port: 0,
  certificate: site.server.certificate,
  key: site.server.key,
  ca: site.ca.certificate,
  ticket_public_key: site.ticket_public_key,
  authority_thumbprint: site.authority.thumbprint,
})

export const idOf = (record: Buffer): Buffer => record.subarray(20, 52)
/** A record of random bytes under a random id. */
export const makeRecord = (sealed_bytes = 1000, kind: Kind = KIND.block, clear: Buffer = Buffer.alloc(0), id: Buffer = randomBytes(32)): Buffer =>
  frameRecord(kind, 1, id, clear, randomBytes(sealed_bytes))
/** A page that needs these blocks. */
export const makePage = (blocks: readonly Buffer[]): Buffer => makeRecord(500, KIND.page, Buffer.concat(blocks.map(idOf)))
export const makeSnapshot = (sequence: number, previous: Buffer | undefined, pages: readonly Buffer[]): Buffer =>
  makeRecord(200, KIND.snapshot, encodeSnapshotClear({ sequence, previous: previous && idOf(previous), pages: pages.map(idOf) }))
