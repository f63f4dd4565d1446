// When a certificate is not valid at this time, one of two clocks is wrong. Which one, only a person can tell, who needs
// to see both. The other clock is asked for over a connection that is not believed in anything else.
import { Agent } from 'node:https'
import { AUTHORITY_PATHS } from '#protocol/authority-api.ts'
import { Fault, isFault } from '#protocol/fault.ts'
import { fault } from './errors.ts'
import { requestOf } from './open-request.ts'

const ASK_MS = 5_000

/** The same fault, with the clock of the other side if it tells. */
export async function withBothClocks(error: unknown, origin: string): Promise<unknown> {
  if (!isFault(error, 'CLOCK_WRONG')) return error
  const theirs = await clockOf(origin)
  const ours = `this device's clock says ${new Date().toISOString()}`
  const found = theirs ? `${ours}, the appliance's ${theirs.toISOString()}` : `${ours}, the appliance's is not known`
  return fault('CLOCK_WRONG', { expected: 'clocks that agree', found, cause: error instanceof Fault ? error.cause : error })
}

function clockOf(origin: string): Promise<Date | undefined> {
  const agent = new Agent({ minVersion: 'TLSv1.3', rejectUnauthorized: false })
  return new Promise<Date | undefined>(resolve => {
    const request = requestOf({ origin, agent, method: 'GET', path: AUTHORITY_PATHS.health, signal: AbortSignal.timeout(ASK_MS) })
    request.on('response', answer => {
      answer.resume()
      const date = new Date(answer.headers.date ?? '')
      resolve(Number.isNaN(date.getTime()) ? undefined : date)
    })
    request.on('error', () => resolve(undefined))
    request.end()
  }).finally(() => agent.destroy())
}
