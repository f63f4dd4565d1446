// A terminal that is written to and never waited for: a serial line without anybody at its end takes nothing, one that
// this machine does not have cannot be opened, and one that was hung up must be opened again. What is typed comes by lines,
// as the kernel's line editing gives them.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { isatty } from 'node:tty'

/** What waits to be taken is given up beyond so much. */
const WAITING_BYTES_MAX = 64 * 1024
const AGAIN_MS = 200
/** A longer line was typed by nobody. */
const LINE_BYTES_MAX = 1024

export type Terminal = {
  /** Opens it where that is needed and possible; true if it has just been opened, so that nothing is on it. */
  isFresh(): boolean
  write(text: string): void
  /** The lines that were typed since, printable ASCII only. None if it is a file. */
  typed(): string[]
}

export function terminalAt(file: string): Terminal {
  let fd: number | undefined
  let waiting = Buffer.alloc(0)
  let begun = ''
  let timer: NodeJS.Timeout | undefined
  const open = (): boolean => {
    if (fd !== undefined) return false
    try {
      fd = openSync(file, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
      return true
    } catch {
      return false
    }
  }
  const flush = (): void => {
    timer = undefined
    try {
      while (fd !== undefined && waiting.length > 0) waiting = waiting.subarray(writeSync(fd, waiting))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        timer = setTimeout(flush, AGAIN_MS)
        return
      }
      close()
    }
  }
  const close = (): void => {
    waiting = Buffer.alloc(0)
    begun = ''
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  return {
    isFresh: open,
    write(text) {
      if (fd === undefined || waiting.length > WAITING_BYTES_MAX) return
      waiting = Buffer.concat([waiting, Buffer.from(text)])
      if (timer === undefined) flush()
    },
    typed() {
      const bytes = Buffer.alloc(LINE_BYTES_MAX)
      try {
        if (fd === undefined || !isatty(fd)) return []
        begun += bytes.toString('latin1', 0, readSync(fd, bytes))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') close()
        return []
      }
      const lines = begun.split('\n')
      begun = lines.pop() ?? ''
      if (begun.length > LINE_BYTES_MAX) begun = ''
      return lines.map(line => line.replace(/[^\x20-\x7e]/g, ''))
    },
  }
}
