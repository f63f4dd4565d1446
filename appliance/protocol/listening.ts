// What can go wrong when a server begins to listen, said the same way by all of them.
import { EXIT, type ErrorRow, type Fault, faults } from './fault.ts'

export const LISTENING_ERRORS = {
  PORT_IN_USE: { exit: EXIT.failed, text: 'the port is in use', next: 'stop what uses it, or make a home with other ports (`init --authority-port`, `--storage-port`)' },
  ADDRESS_UNUSABLE: { exit: EXIT.failed, text: 'it is not possible to listen at this address', next: 'make a home with an address of this machine (`init --listen`)' },
} as const satisfies Record<string, ErrorRow>

const fault = faults(LISTENING_ERRORS)

/** The fault that a failed listen() means, or undefined for another error. */
export function listeningFault(error: unknown, host: string, port: number): Fault | undefined {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return fault('PORT_IN_USE', { found: `${host}:${port}` })
  return code === 'EADDRNOTAVAIL' || code === 'EACCES' || code === 'ENOTFOUND' ? fault('ADDRESS_UNUSABLE', { found: `${host}:${port}: ${code}` }) : undefined
}
