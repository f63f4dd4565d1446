// One agent at a time works in a home. The lock is a listening socket in Linux's abstract namespace (or a file that can't
// be opened twice, where there is none): the system frees it when the process ends, however that happens.
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync, rmSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import { fault } from './errors.ts'

/**
 * Takes the lock of a home.
 *
 * @param what  another one than that of who changes it: who holds this may go on beside
 * @returns gives it back
 * @throws HOME_BUSY
 */
export async function lockHome(home: string, what = ''): Promise<() => void> {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const address = addressOf(realpathSync(home), what)
  const isFile = !address.startsWith('\0') && process.platform !== 'win32'
  // A socket file outlives its process: one that nobody answers on is left over.
  if (isFile && !(await isAnswered(address))) rmSync(address, { force: true })
  const server = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? fault('HOME_BUSY', { found: home }) : error))
    server.listen(address, resolve)
  })
  server.unref()
  return () => void server.close()
}

function addressOf(home: string, what: string): string {
  const name = `holdfast-${what}${createHash('sha256').update(home).digest('hex').slice(0, 40)}`
  if (process.platform === 'linux') return `\0${name}`
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(home, `${what}lock`)
}

function isAnswered(address: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createConnection(address, () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
