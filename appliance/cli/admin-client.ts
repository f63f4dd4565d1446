// The commands ask the running appliance over its admin socket; when none runs, the same request is answered in-process.
// A state directory that leads to another machine (remote.ts) is asked there, over HTTPS.
import type { IncomingMessage } from 'node:http'
import { adminSocketOf, isRunning, openAuthority } from '#authority/authority.ts'
import { AUTHORITY_ERRORS, fault } from '#authority/errors.ts'
import type { Frame } from '#cli/frame.ts'
import { ADMINISTRATION } from '#protocol/authority-api.ts'
import { faultFromAnswer } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'
import { RESTORE_PATHS } from '#protocol/restore-api.ts'
import { fault as cliFault } from './errors.ts'
import { askRemote, askSocket, readRemote, signInOf, textOf } from './remote.ts'

type Method = 'GET' | 'POST' | 'PUT'

/** Who asks for a restore says so in the request: these paths are for everybody who reaches the appliance. */
const OPEN_PATHS: ReadonlySet<string> = new Set(Object.values(RESTORE_PATHS))

/** Asks, and gives the parsed answer; an error answer is thrown as the fault that it says. */
export async function askAdmin(frame: Frame, method: Method, path: string, body?: object): Promise<Record<string, unknown>> {
  const home = frame.home()
  const text =
    readRemote(home) !== undefined || (await isRunning(home))
      ? await textOf(await openAdmin(frame, method, path, body))
      : await inProcess(home, frame.version, method, path, body)
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/**
 * Asks an appliance that runs; the answer has begun.
 *
 * @param body  an object is sent as JSON, a stream as bytes
 * @throws what the appliance answers; APPLIANCE_UNREACHABLE, APPLIANCE_UNTRUSTED of one elsewhere; APPLIANCE_UNREACHABLE of one here that does not run
 */
export async function openAdmin(frame: Frame, method: Method, path: string, body?: object | NodeJS.ReadableStream): Promise<IncomingMessage> {
  const home = frame.home()
  const remote = readRemote(home)
  const isStream = body !== undefined && 'pipe' in body
  const sent = body === undefined || isStream ? body : Buffer.from(JSON.stringify(body))
  const type = isStream ? { 'content-type': 'application/octet-stream' } : { 'content-type': 'application/json' }
  const headers = {
    ...(body === undefined ? {} : type),
    ...(Buffer.isBuffer(sent) ? { 'content-length': sent.length } : {}),
    ...(remote && !OPEN_PATHS.has(path) ? { authorization: await signInOf(remote, frame) } : {}),
  }
  const answer = remote
    ? await askRemote(remote, { method, path: OPEN_PATHS.has(path) ? path : `${ADMINISTRATION}${path}`, headers }, sent)
    : await askSocket({ socketPath: adminSocketOf(home), method, path, headers }, sent).catch((cause: unknown) => {
        throw cliFault('APPLIANCE_UNREACHABLE', { found: 'an appliance that does not run', cause })
      })
  if ((answer.statusCode ?? 500) < 400) return answer
  const text = await textOf(answer)
  // Nobody reads what is still to be sent: the command would wait for the server to close the connection.
  if (isStream) answer.socket.destroy()
  throw faultOf(JSON.parse(text))
}

function faultOf(answer: unknown): Fault {
  const { code, found } = (answer ?? {}) as { code?: unknown; found?: unknown }
  if (typeof code === 'string' && code in AUTHORITY_ERRORS) return fault(code as keyof typeof AUTHORITY_ERRORS, typeof found === 'string' ? { found } : {})
  return faultFromAnswer(answer)
}

async function inProcess(home: string, version: string, method: Method, url: string, body?: object): Promise<string> {
  const authority = await openAuthority(home, { version })
  try {
    const answer = await authority.admin.inject({ method, url, ...(body ? { payload: body } : {}) })
    if (answer.statusCode >= 400) throw faultOf(JSON.parse(answer.payload))
    return answer.payload
  } finally {
    await authority.close()
  }
}
