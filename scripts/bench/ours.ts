// A whole site of ours on this machine: an appliance (authority and storage node) and paired agents.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { measure, peakOf_mb } from './measure.ts'
import { type Contender, folder_mb } from './peer.ts'

const scripts = join(import.meta.dirname, '..')

/** Makes the site and one paired agent for each client. */
export async function startOurs(folder: string, clients: number): Promise<Contender> {
  const home = join(folder, 'appliance')
  const password = join(folder, 'password')
  mkdirSync(folder, { recursive: true })
  writeFileSync(password, 'a password for the benchmark\n', { mode: 0o600 })
  const appliance = (...parameters: string[]): string =>
    execFileSync(join(scripts, 'holdfast-appliance'), [...parameters, '--home', home], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  appliance('init', '--listen', '127.0.0.1', '--authority-port', `${await freePort()}`, '--storage-port', `${await freePort()}`, '--keystore', 'none')
  appliance('user', 'add', 'ann', '--password-file', password)
  const server = spawn(join(scripts, 'holdfast-appliance'), ['run', '--home', home], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    createInterface(server.stdout).once('line', () => resolve())
    server.once('close', code => reject(new Error(`the appliance ended with ${code}`)))
  })
  const agent = (client: number): string => join(folder, `agent-${client}`)
  for (let client = 0; client < clients; client++) {
    const link =
      appliance('link', 'ann')
        .split('\n')
        .find(line => line.startsWith('holdfast://')) ?? ''
    execFileSync(join(scripts, 'holdfast'), ['pair', link, '--home', agent(client), '--password-file', password], { stdio: 'ignore' })
  }
  return {
    name: 'holdfast',
    backup: (client, from) => measure(join(scripts, 'holdfast'), ['backup', from, '--json', '--home', agent(client)]),
    restore: (client, to) => measure(join(scripts, 'holdfast'), ['restore', '--to', to, '--json', '--home', agent(client)]),
    serverPeak_mb: () => peakOf_mb(storageProcess(server.pid ?? 0)),
    stored_mb: () => folder_mb(join(home, 'storage')),
    async close() {
      server.kill('SIGTERM')
      await new Promise(resolve => server.once('close', resolve))
    },
  }
}

/** The child of the appliance that is the storage node. */
function storageProcess(parent: number): number {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const ppid = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1])
      if (ppid === parent && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('storage/main')) return Number(name)
    } catch {
      // It ended meanwhile.
    }
  }
  return 0
}

function freePort(): Promise<number> {
  return new Promise(resolve => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
