// How fast `holdfast-keystore reconcile` reads: a gigabyte of a keystore's audit log, made of the lines that a real keystore
// wrote of one key given out, each time with other names; and the authority's log that belongs to it. One of the keys was
// opened without an act, and must be found. Prints one JSON object.
// node scripts/bench-reconcile.ts [--bytes N] [--folder DIR]
import { spawn } from 'node:child_process'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { newEscrow, newFacts, startProvisioned, TENANT } from '../test/keystore/client/provisioned.ts'

const { values } = parseArgs({ options: { bytes: { type: 'string', default: '1000000000' }, folder: { type: 'string', default: tmpdir() } } })
const folder = mkdtempSync(join(values.folder, 'holdfast-bench-reconcile-'))

type Template = { readonly text: string; readonly names: readonly string[] }

/** What the keystore wrote of one fetch, and the names in it. */
async function templateOf(): Promise<Template> {
  const site = await startProvisioned()
  try {
    const { slot, kid, sealed } = await newEscrow(site)
    await site.keystore.escrow(TENANT, slot, kid, sealed)
    const [file = ''] = site.cluster.auditFiles
    const before = readFileSync(file).length
    const { jti, device } = newFacts()
    const { request_ids } = await site.keystore.openOwn(TENANT, slot, kid, { jti, device })
    return { text: readFileSync(file).subarray(before).toString('latin1'), names: [slot.slice(2), kid.slice(2), jti, device, ...request_ids] }
  } finally {
    await site.close()
  }
}

/** Both logs. @returns how many keys were given out, and how long the keystore's log is */
function makeLogs({ text, names }: Template, bytes: number): { fetches: number; written: number } {
  const [keystore, authority] = [openSync(join(folder, 'keystore.log'), 'w'), openSync(join(folder, 'authority.log'), 'w')]
  let [fetches, written, last] = [0, 0, '0'.repeat(64)]
  const chained = (act: string, facts: Record<string, string>): string => {
    const body = JSON.stringify({ number: fetches, time: new Date().toISOString(), act, who: 'ann', facts })
    last = createHash('sha256').update(last).update(body).digest('hex')
    return `${body.slice(0, -1)},"hash":"${last}"}\n`
  }
  for (; written < bytes; fetches++) {
    const fresh = names.map(name => (name.includes('-') ? randomUUID() : randomBytes(16).toString('hex')))
    const [slot = '', kid = '', jti = '', device = '', ...requests] = fresh
    written += writeSync(
      keystore,
      names.reduce((line, name, at) => line.replaceAll(name, fresh[at] ?? ''), text),
      null,
      'latin1',
    )
    if (fetches === 1) continue
    const facts = { jti, device, slot: `s-${slot}`, kid: `1-${kid}`, why: 'a new device of the owner' }
    writeSync(authority, chained('key.open', facts) + chained('key.opened', { jti, requests: requests.join(' ') }))
  }
  for (const fd of [keystore, authority]) closeSync(fd)
  return { fetches, written }
}

const TICKS_PER_S = 100

/** Runs the command. @returns its result, seconds by the clock and of the processor, and the most memory that it had, in MB */
async function run(): Promise<{ found: Record<string, unknown>; seconds: number; cpu_seconds: number; peak_mb: number }> {
  const words = ['reconcile', '--json', '--until', '2100-01-01', '--authority', join(folder, 'authority.log'), '--keystore', join(folder, 'keystore.log')]
  const begun_ms = performance.now()
  const child = spawn(join(import.meta.dirname, 'holdfast-keystore'), words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let [out, peak, cpu_seconds] = ['', 0, 0]
  const look = (): void => {
    try {
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0))
      const [user, system] = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13).map(Number) ?? []
      cpu_seconds = ((user ?? 0) + (system ?? 0)) / TICKS_PER_S
    } catch {}
  }
  const timer = setInterval(look, 20)
  child.stdout.on('data', (part: Buffer) => {
    out += part.toString()
  })
  await new Promise(resolve => child.once('close', resolve))
  clearInterval(timer)
  return { found: JSON.parse(out) as Record<string, unknown>, seconds: (performance.now() - begun_ms) / 1000, cpu_seconds, peak_mb: peak / 1024 }
}

try {
  const { fetches, written } = makeLogs(await templateOf(), Number(values.bytes))
  const { found, seconds, cpu_seconds, peak_mb } = await run()
  const { acts, openings, differences } = found
  console.log(
    JSON.stringify({ bytes: written, fetches, acts, openings, differences, seconds: Number(seconds.toFixed(1)), cpu_seconds, peak_mb: Math.round(peak_mb) }),
  )
  // One sign-in and one opening without an act, and nothing else.
  if (differences !== 2 || openings !== fetches) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
