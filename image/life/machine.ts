// The machine service: what only root can do, behind a socket that only root and the authority may open. One request a
// connection: a line of JSON {act, …}; then any number of {progress: …}, and a last one: {done: …} or {fault: {code, …}}. One act at
// a time, but those that only look; one that has begun is finished, whether somebody still listens or not.
//   node machine.ts                 the socket comes from systemd; ends when nothing was asked for a minute
//   node machine.ts --socket PATH   makes the socket itself, and stays
import { chmodSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { SETUP_ACTS } from '#image-setup/acts.ts'
import type { Act, Say } from '#image-update/act.ts'
import { UPDATE_ACTS } from '#image-update/acts.ts'
import { answerOfFault, fault as protocolFault } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'
import { Check, Type } from '#protocol/typebox.js'
import { LIFE_ACTS } from './acts.ts'
import { fault } from './errors.ts'

const REQUEST_BYTES_MAX = 4 * 1024 * 1024
const REQUEST_MS = 10_000
const IDLE_MS = 60_000
const CONNECTIONS_MAX = 16
/** The first socket that systemd hands over. */
const HANDED_OVER = 3
const SOCKET_MODE = 0o660
/** Acts that only look go on beside another one. */
const LOOKS = /\.(show|list)$/
const Request = Type.Object({ act: Type.String({ maxLength: 64 }) })

/** @param onIdle  nothing was asked for a while, and nothing is under way */
export function serveMachine(acts: Readonly<Record<string, Act>>, onIdle: () => void = () => undefined): Server {
  let running: string | undefined
  let open = 0
  let idle = setTimeout(onIdle, IDLE_MS)
  const server = createServer({ allowHalfOpen: true }, socket => {
    clearTimeout(idle)
    open++
    answer(socket)
      .catch((error: unknown) => process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`))
      .finally(() => {
        socket.end()
        if (--open === 0) idle = setTimeout(onIdle, IDLE_MS)
      })
  })
  server.maxConnections = CONNECTIONS_MAX

  const answer = async (socket: Socket): Promise<void> => {
    socket.on('error', () => undefined)
    const say = (line: object): void => {
      if (!socket.destroyed) socket.write(`${JSON.stringify(line)}\n`)
    }
    try {
      say({ done: await perform(await readRequest(socket), progress => say({ progress })) })
    } catch (error) {
      if (!(error instanceof Fault)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      say({ fault: answerOfFault(error instanceof Fault ? error : protocolFault('INTERNAL')) })
    }
  }
  const perform = async (request: unknown, say: Say): Promise<object> => {
    if (!Check(Request, request)) throw protocolFault('REQUEST_INVALID')
    const { act: name, ...rest } = request
    const act = Object.hasOwn(acts, name) ? acts[name] : undefined
    if (!act) throw fault('ACT_UNKNOWN', { found: name })
    if (LOOKS.test(name)) return act(rest, say)
    if (running !== undefined) throw fault('MACHINE_BUSY', { found: running })
    running = name
    try {
      return await act(rest, say)
    } finally {
      running = undefined
    }
  }
  return server
}

async function readRequest(socket: Socket): Promise<unknown> {
  socket.setTimeout(REQUEST_MS, () => socket.destroy())
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    const piece = part as Buffer
    const end = piece.indexOf('\n')
    parts.push(end < 0 ? piece : piece.subarray(0, end))
    bytes += piece.length
    if (bytes > REQUEST_BYTES_MAX) throw protocolFault('BODY_TOO_LARGE')
    if (end >= 0) break
  }
  socket.setTimeout(0)
  // Whatever else comes is not read, and its end is noticed.
  socket.resume()
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown
  } catch (cause) {
    // Without its text, which has the request in it.
    throw protocolFault('REQUEST_INVALID', { expected: 'a line of JSON', found: cause instanceof SyntaxError ? 'something else' : 'an error' })
  }
}

if (import.meta.main) {
  // What is private says so where it is made; what goes onto a USB disk is for everybody.
  process.umask(0o022)
  const { values } = parseArgs({ options: { socket: { type: 'string' } } })
  const acts = { ...UPDATE_ACTS, ...SETUP_ACTS, ...LIFE_ACTS }
  if (values.socket === undefined) serveMachine(acts, () => process.exit()).listen({ fd: HANDED_OVER })
  else {
    const path = values.socket
    serveMachine(acts).listen(path, () => chmodSync(path, SOCKET_MODE))
  }
}
