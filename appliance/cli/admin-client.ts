// The commands ask the running appliance over its admin socket; when none runs, the same request is answered in-process.
import { request } from 'node:http'
import { adminSocketOf, isRunning, openAuthority } from '#authority/authority.ts'
import { AUTHORITY_ERRORS, fault } from '#authority/errors.ts'
import { faultFromAnswer } from '#protocol/errors.ts'
import { Fault } from '#protocol/fault.ts'

/** Asks, and gives the parsed answer; an error answer is thrown as the fault that it says. */
export async function askAdmin(home: string, version: string, method: 'GET' | 'POST', path: string, body?: object): Promise<Record<string, unknown>> {
  const { status, text } = (await isRunning(home))
    ? await overSocket(adminSocketOf(home), method, path, body)
    : await inProcess(home, version, method, path, body)
  const value: unknown = JSON.parse(text)
  if (status >= 400) throw faultOf(value)
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function faultOf(answer: unknown): Fault {
  const { code, found } = (answer ?? {}) as { code?: unknown; found?: unknown }
  if (typeof code === 'string' && code in AUTHORITY_ERRORS) return fault(code as keyof typeof AUTHORITY_ERRORS, typeof found === 'string' ? { found } : {})
  return faultFromAnswer(answer)
}

async function inProcess(home: string, version: string, method: 'GET' | 'POST', url: string, body?: object): Promise<{ status: number; text: string }> {
  const authority = await openAuthority(home, { version })
  try {
    const answer = await authority.admin.inject({ method, url, ...(body ? { payload: body } : {}) })
    return { status: answer.statusCode, text: answer.payload }
  } finally {
    await authority.close()
  }
}

function overSocket(socketPath: string, method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  const sent = body ? Buffer.from(JSON.stringify(body)) : undefined
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method, headers: sent ? { 'content-type': 'application/json', 'content-length': sent.length } : {} }, answer => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 500, text: Buffer.concat(parts).toString('utf8') }))
      answer.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(sent)
  })
}
