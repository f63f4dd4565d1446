// What can go wrong when a server begins to listen, said the same way by all of them.
import { LISTENING_ERRORS } from './errors.ts'
import { type Fault, faults } from './fault.ts'

const fault = faults(LISTENING_ERRORS)

/** The fault that a failed listen() means, or undefined for another error. */
export function listeningFault(error: unknown, host: string, port: number): Fault | undefined {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return fault('PORT_IN_USE', { found: `${host}:${port}` })
  return code === 'EADDRNOTAVAIL' || code === 'EACCES' || code === 'ENOTFOUND' ? fault('ADDRESS_UNUSABLE', { found: `${host}:${port}: ${code}` }) : undefined
}
