// A fault is an error of the world (bad input, a full disk, a peer that is gone), with a code that programs
// match on, both sides of the story, and what to do next. Our own mistakes are assertions, never faults.
// Nothing secret goes into a fault: its text may cross the network and land in logs.

/** Exit codes of every command, as in the command reference. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  unreadable: 3,
  forbidden: 4,
  unreachable: 5,
  damaged: 6,
  interrupted: 130,
} as const

export type ErrorRow = {
  /** HTTP status when it is answered by a server; absent for errors that never cross the wire. */
  readonly status?: number
  /** The exit code of a command that ends with it. */
  readonly exit: number
  /** What is wrong, as a short clause for people. */
  readonly text: string
  /** What to do about it. */
  readonly next: string
}

export type FaultDetails = {
  readonly expected?: string
  readonly found?: string
  readonly next?: string
  readonly cause?: unknown
  /** Further facts for programs (JSON), for example the missing ids. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** An error of the world. `message` is one line for people: code, text, expected, found, next. */
export class Fault extends Error {
  readonly code: string
  readonly status: number
  readonly exit: number
  readonly expected: string | undefined
  readonly found: string | undefined
  readonly next: string
  readonly facts: Readonly<Record<string, unknown>>
  constructor(code: string, row: ErrorRow, details: FaultDetails) {
    const next = details.next ?? row.next
    const expected = details.expected === undefined ? '' : `; expected ${details.expected}`
    const found = details.found === undefined ? '' : `; found ${details.found}`
    super(`${code}: ${row.text}${expected}${found}; ${next}`, { cause: details.cause })
    this.name = 'Fault'
    this.code = code
    this.status = row.status ?? 500
    this.exit = row.exit
    this.expected = details.expected
    this.found = details.found
    this.next = next
    this.facts = details.facts ?? {}
  }
}

/**
 * Makes a room's `fault` from its table of errors.
 *
 * @param table  code → row; every code also has its row in the documents (a law checks it)
 * @returns      `fault(code, details)`, which makes the error and does not throw it
 */
export function faults<Table extends Record<string, ErrorRow>>(table: Table): (code: keyof Table & string, details?: FaultDetails) => Fault {
  return (code, details = {}) => new Fault(code, table[code] as ErrorRow, details)
}

/** Whether an error is a fault with one of these codes. */
export function isFault(error: unknown, ...codes: string[]): error is Fault {
  return error instanceof Fault && (codes.length === 0 || codes.includes(error.code))
}
