// How fast the storage node takes records in: a sender in another process on the same machine, TLS with certificates on
// both sides, eight requests of 8 MiB at once, every answer durable; beside it a server that throws the same bodies away.
//   node scripts/bench-ingest.ts [--mib 1024] [--record-kib 1024] [--agents 1] [--profile DIR] [--json]
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { randomBytes, randomFillSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { UPLOAD_BYTES_AIM } from '#protocol/limits.ts'
import { frameRecord, KIND, parseRecordHeader, writeRecordHeader } from '#protocol/record.ts'
import { BYTES_TYPE, SESSION_HEADER } from '#protocol/storage-api.ts'
import { STORAGE_NODE_FLAGS, storageNodeEnvironment } from '#storage/node-flags.ts'
import { type Device, makeSite, type TestSite } from '../test/site-certificates.ts'

const IN_FLIGHT = 8
const MIB = 1024 * 1024

type Job = { url: string; ca: string; device: Device; ticket: string; bytes: number; record_bytes: number; in_flight: number; reads: boolean }
type Result = { ingest_ms: number; read_ms: number; bytes: number }

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '1024' },
    'record-kib': { type: 'string', default: '1024' },
    agents: { type: 'string', default: '1' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
    sender: { type: 'boolean', default: false },
  },
})

async function main(): Promise<void> {
  const site = await makeSite()
  const bytes = Number(values.mib) * MIB
  const record_bytes = Number(values['record-kib']) * 1024
  const agents = Number(values.agents)
  const sink = await measureSink(site, bytes, record_bytes)
  const node = await measureNode(site, bytes, record_bytes, agents)
  const result = {
    record_kib: record_bytes / 1024,
    agents,
    sink_mib_s: rate(bytes, sink.ingest_ms),
    ingest_mib_s: rate(bytes, node.ingest_ms),
    read_mib_s: rate(node.bytes, node.read_ms),
    storage_node_peak_mb: node.peak_mb,
    storage_node_cpu_s: node.cpu_s,
  }
  process.stdout.write(
    values.json
      ? `${JSON.stringify(result)}\n`
      : Object.entries(result)
          .map(([name, value]) => `${name.padEnd(24)}${value}\n`)
          .join(''),
  )
}

const rate = (bytes: number, time_ms: number): number => Math.round(bytes / MIB / (time_ms / 1000))

/** The same bodies, received and thrown away. */
async function measureSink(site: TestSite, bytes: number, record_bytes: number): Promise<Result> {
  const server = createServer(
    { cert: site.server.certificate, key: site.server.key, ca: site.ca.certificate, requestCert: true, minVersion: 'TLSv1.3' },
    (asked, answer) => {
      asked.on('data', () => {})
      asked.on('end', () => answer.end(JSON.stringify({ session: 'none', stored: 0, known: 0 })))
    },
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const url = `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  const result = await runSender(await jobFor(site, url, bytes, record_bytes, IN_FLIGHT, false))
  server.closeAllConnections()
  server.close()
  return result
}

async function measureNode(site: TestSite, bytes: number, record_bytes: number, agents: number): Promise<Result & { peak_mb: number; cpu_s: number }> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-ingest-'))
  writeHome(site, home)
  const { child, url } = await startNode(home)
  try {
    const share = Math.ceil(bytes / agents)
    const in_flight = agents === 1 ? IN_FLIGHT : 4
    const jobs = await Promise.all(Array.from({ length: agents }, () => jobFor(site, url, share, record_bytes, in_flight, true)))
    const results = await Promise.all(jobs.map(runSender))
    const [user_ticks, system_ticks] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? []
    const peak_mb = Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024)
    return {
      ingest_ms: Math.max(...results.map(({ ingest_ms }) => ingest_ms)),
      read_ms: Math.max(...results.map(({ read_ms }) => read_ms)),
      bytes: results.reduce((sum, result) => sum + result.bytes, 0),
      peak_mb,
      cpu_s: ((user_ticks ?? 0) + (system_ticks ?? 0)) / 100,
    }
  } finally {
    child.kill('SIGTERM')
    await new Promise(resolve => child.once('close', resolve))
    rmSync(home, { recursive: true })
  }
}

function writeHome(site: TestSite, home: string): void {
  const dir = join(home, 'storage')
  mkdirSync(dir, { mode: 0o700 })
  const files = {
    'storage.pem': site.server.certificate,
    'storage.key': site.server.key,
    'ca.pem': site.ca.certificate,
    'ticket-public.pem': site.ticket_public_key,
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 })
  const names = { certificate_file: 'storage.pem', key_file: 'storage.key', ca_file: 'ca.pem', ticket_key_file: 'ticket-public.pem' }
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ version: 1, host: '127.0.0.1', port: 0, ...names, authority_thumbprint: site.authority.thumbprint }))
}

async function startNode(home: string): Promise<{ child: ChildProcess; url: string }> {
  const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const main = join(import.meta.dirname, '..', 'appliance', 'storage', 'main.ts')
  const child = spawn(process.execPath, [...profile, ...STORAGE_NODE_FLAGS, main, '--home', home], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...storageNodeEnvironment(home) },
  })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', line => resolve((JSON.parse(line) as { url: string }).url))
    child.once('close', () => reject(new Error('the storage node ended')))
  })
  return { child, url }
}

async function jobFor(site: TestSite, url: string, bytes: number, record_bytes: number, in_flight: number, reads: boolean): Promise<Job> {
  const device = await site.device()
  return { url, ca: site.ca.certificate, device, ticket: await site.ticket(device), bytes, record_bytes, in_flight, reads }
}

function runSender(job: Job): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = fork(import.meta.filename, ['--sender'])
    child.once('message', message => resolve(message as Result))
    child.once('exit', code => reject(new Error(`the sender ended with ${code}`)))
    child.send(job)
  })
}

/** In the sender's process: bodies are made before, and get new ids each time they are sent. */
async function send(job: Job): Promise<Result> {
  const agent = new Agent({ keepAlive: true, ca: job.ca, cert: job.device.certificate, key: job.device.key, maxSockets: job.in_flight })
  const records = Math.max(1, Math.floor(UPLOAD_BYTES_AIM / job.record_bytes))
  const content = randomBytes(job.record_bytes)
  const record = frameRecord(KIND.block, 1, randomBytes(32), Buffer.alloc(0), content)
  const header = parseRecordHeader(record)
  if (typeof header === 'string') throw new Error(header)
  const base = `/v1/archives/${job.device.archive}`
  const call = (path: string, body: Buffer, headers: Record<string, string>): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const asked = request(
        `${job.url}${base}${path}`,
        { agent, method: 'POST', headers: { authorization: `Ticket ${job.ticket}`, 'content-length': body.length, ...headers } },
        answer => {
          const parts: Buffer[] = []
          let bytes = 0
          answer.on('data', (part: Buffer) => {
            bytes += part.length
            if (path !== '/read') parts.push(part)
          })
          answer.on('end', () =>
            answer.statusCode === 200
              ? resolve(path === '/read' ? Buffer.from(`${bytes}`) : Buffer.concat(parts))
              : reject(new Error(Buffer.concat(parts).toString())),
          )
          answer.on('error', reject)
        },
      )
      asked.on('error', reject)
      asked.end(body)
    })
  const { session } = JSON.parse((await call('/sessions', Buffer.from('{}'), { 'content-type': 'application/json' })).toString()) as { session: string }
  const ids: Buffer[] = []
  const requests = Math.max(1, Math.round(job.bytes / (records * record.length)))
  let next = 0
  const lane = async (): Promise<void> => {
    const body = Buffer.concat(Array.from({ length: records }, () => record))
    while (next++ < requests) {
      for (let at = 0; at < body.length; at += record.length) {
        const id = Buffer.alloc(32)
        randomFillSync(id)
        writeRecordHeader(body, at, { ...header, id })
        ids.push(id)
      }
      await call('/records', body, { 'content-type': BYTES_TYPE, [SESSION_HEADER]: session })
    }
  }
  const begun_ms = performance.now()
  await Promise.all(Array.from({ length: job.in_flight }, lane))
  const ingest_ms = performance.now() - begun_ms
  if (!job.reads) return { ingest_ms, read_ms: 0, bytes: requests * records * record.length }
  const read_ms = performance.now()
  let read_bytes = 0
  const lists: Buffer[] = []
  for (let at = 0; at < ids.length; at += 64) lists.push(Buffer.concat(ids.slice(at, at + 64)))
  const reader = async (): Promise<void> => {
    for (let list = lists.pop(); list; list = lists.pop()) read_bytes += Number((await call('/read', list, { 'content-type': BYTES_TYPE })).toString())
  }
  await Promise.all(Array.from({ length: 4 }, reader))
  return { ingest_ms, read_ms: performance.now() - read_ms, bytes: read_bytes }
}

if (values.sender) {
  process.once('message', (job: Job) => {
    void send(job).then(
      result => process.send?.(result, () => process.exit(0)),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`)
        process.exit(1)
      },
    )
  })
} else await main()
