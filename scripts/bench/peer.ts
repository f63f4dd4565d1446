// restic through rest-server over TLS: the peer that every figure is put beside.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Measured, measure, peakOf_mb } from './measure.ts'

export type Contender = {
  readonly name: string
  backup(client: number, folder: string): Promise<Measured>
  restore(client: number, to: string): Promise<Measured>
  serverPeak_mb(): number
  stored_mb(): number
  close(): Promise<void>
}

const PORT = 18_555

/** Starts rest-server with one repository for each client. */
export async function startPeer(bin: string, folder: string, clients: number): Promise<Contender> {
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '30',
      '-keyout',
      'k.pem',
      '-out',
      'c.pem',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
    ],
    { cwd: folder, stdio: 'ignore' },
  )
  const server: ChildProcess = spawn(
    join(bin, 'rest-server'),
    ['--path', 'rs', '--no-auth', '--tls', '--tls-cert', 'c.pem', '--tls-key', 'k.pem', '--listen', `127.0.0.1:${PORT}`],
    { cwd: folder, stdio: 'ignore' },
  )
  await untilListening(PORT)
  const restic = (client: number, ...parameters: string[]): Promise<Measured> =>
    measure(join(bin, 'restic'), ['-r', `rest:https://127.0.0.1:${PORT}/c${client}/`, '--cacert', join(folder, 'c.pem'), '-q', ...parameters], {
      RESTIC_PASSWORD: 'x',
      RESTIC_CACHE_DIR: join(folder, `cache-${client}`),
    })
  for (let client = 0; client < clients; client++) await restic(client, 'init')
  return {
    name: 'restic + rest-server',
    backup: (client, from) => restic(client, 'backup', from),
    restore: (client, to) => restic(client, 'restore', 'latest', '--target', to),
    serverPeak_mb: () => peakOf_mb(server.pid ?? 0),
    stored_mb: () => folder_mb(join(folder, 'rs')),
    async close() {
      server.kill()
      await new Promise(resolve => server.once('close', resolve))
    },
  }
}

/** What a folder takes, in MiB, by the lengths of its files. */
export const folder_mb = (folder: string): number =>
  Number(execFileSync('du', ['-sb', '--apparent-size', folder], { encoding: 'utf8' }).split('\t')[0]) / 1024 ** 2

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const isOpen = await new Promise<boolean>(resolve => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.on('error', () => resolve(false)).on('connect', () => socket.destroy())
    })
    if (isOpen) return
    await wait(50)
  }
  throw new Error(`nothing listens on port ${port}`)
}
