// Free ports on this machine. They are taken from below the range from which Linux gives connections their ports, so that a
// node which is down finds its own still free when it starts again.
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { HOST } from './configuration.ts'

const PORT_MIN = 20_000
const PORT_MAX = 32_000
const TRIES_MAX = 1000

/** So many different ports that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>()
  for (let tries = 0; held.size < count && tries < TRIES_MAX; tries++) {
    const port = randomInt(PORT_MIN, PORT_MAX)
    const server = held.has(port) ? undefined : await listen(port)
    if (server) held.set(port, server)
  }
  await Promise.all([...held.values()].map(server => new Promise(resolve => server.close(resolve))))
  return [...held.keys()]
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, HOST, () => resolve(server))
  })
}
