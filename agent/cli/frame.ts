// What every command stands in: the state directory, --json, progress, the signal that Ctrl-C gives, and how an end
// becomes text and an exit code. Invariants:
//   stdout holds the result and nothing else: one JSON object with --json; all else goes to stderr;
//   a fault is one line and its exit code; a stack is shown only with HOLDFAST_DEBUG=1;
//   the first Ctrl-C lets the command clean up, the second ends it at once.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { EXIT, Fault } from '#protocol/fault.ts'
import { fault } from './errors.ts'
import { createProgress, type Progress } from './progress.ts'

export type Frame = {
  readonly version: string
  /**
   * The state directory, absolute; whether it exists is for the command to see.
   *
   * @throws HOME_MISSING if neither --home nor HOLDFAST_HOME names one
   */
  home(): string
  /** What an option says that all commands of the program have, by its name in code. */
  option(name: string): string | undefined
  /** Whether one JSON object is wanted instead of text. */
  isJson(): boolean
  /** Aborted by Ctrl-C or SIGTERM, with the fault INTERRUPTED as its reason. */
  readonly signal: AbortSignal
  /** A line on stderr that is there only on a terminal. */
  readonly progress: Progress
  /** Something for people that is not the result: a line on stderr. */
  say(line: string): void
  /** A line of the result on stdout, without --json. */
  line(text: string): void
  /** The result: with --json this object on stdout, otherwise these lines. Called once at most. */
  result(object: Readonly<Record<string, unknown>>, lines?: readonly string[]): void
  /** The exit code if nothing is thrown, for ends between done and failed such as EXIT.unreadable. */
  exit(code: number): void
}

/** Makes the frame of one run; `program` is asked for its options when they are needed. */
export function createFrame(program: Command, version: string): Frame {
  const abort = new AbortController()
  const progress = createProgress(process.stderr)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(EXIT.interrupted)
      progress.clear()
      abort.abort(fault('INTERRUPTED', { found: signal }))
    })
  }
  // A reader that goes away (`holdfast ls … | head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.done : EXIT.failed))
  const options = (): { home?: string; json?: boolean } => program.opts()
  return {
    version,
    home() {
      const home = options().home ?? process.env['HOLDFAST_HOME']
      if (!home) throw fault('HOME_MISSING')
      return resolve(home)
    },
    option(name) {
      const value: unknown = program.opts()[name]
      return typeof value === 'string' ? value : undefined
    },
    isJson: () => options().json === true,
    signal: abort.signal,
    progress,
    say(line) {
      progress.clear()
      process.stderr.write(`${line}\n`)
    },
    line(text) {
      if (options().json !== true) process.stdout.write(`${text}\n`)
    },
    result(object, lines = []) {
      progress.clear()
      process.stdout.write(options().json === true ? `${JSON.stringify(object)}\n` : lines.map(line => `${line}\n`).join(''))
    },
    exit(code) {
      process.exitCode = code
    },
  }
}

/** Says an error in one line, and returns the exit code that it means. */
export function endWith(error: unknown): number {
  const isDebug = process.env['HOLDFAST_DEBUG'] === '1'
  const known = faultOf(error)
  process.stderr.write(
    `${oneLine(known ? known.message : `INTERNAL: ${error instanceof Error ? error.message : String(error)}; this is a mistake of the program: run again with HOLDFAST_DEBUG=1 and report it`)}\n`,
  )
  if (isDebug) for (let cause = error; cause instanceof Error; cause = cause.cause) process.stderr.write(`${cause.stack ?? cause.message}\n`)
  return known?.exit ?? EXIT.failed
}

const oneLine = (text: string): string => text.replace(/\s*[\r\n]+\s*/g, ' ')

const VOLUME_FULL = new Set(['ENOSPC', 'EDQUOT'])

/** Errors of the system that need no room's care are faults here too. */
function faultOf(error: unknown): Fault | undefined {
  if (error instanceof Fault) return error
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  const path = 'path' in error && typeof error.path === 'string' ? ` ${error.path}` : ''
  if (VOLUME_FULL.has(error.code)) return fault('DISK_FULL', { found: `${error.code}${path}`, cause: error })
  if (/^E[A-Z]+$/.test(error.code) && 'syscall' in error) return fault('FILE_UNUSABLE', { found: `${error.code}${path}`, cause: error })
  return undefined
}
