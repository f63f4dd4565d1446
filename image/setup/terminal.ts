// A terminal that is written to and never waited for: a serial line without anybody at its end takes nothing, one that
// this machine does not have cannot be opened, and one that was hung up must be opened again.
import { closeSync, constants, openSync, writeSync } from 'node:fs'

/** What waits to be taken is given up beyond so much. */
const WAITING_BYTES_MAX = 64 * 1024
const AGAIN_MS = 200

export type Terminal = {
  /** Opens it where that is needed and possible; true if it has just been opened, so that nothing is on it. */
  isFresh(): boolean
  write(text: string): void
}

export function terminalAt(file: string): Terminal {
  let fd: number | undefined
  let waiting = Buffer.alloc(0)
  let timer: NodeJS.Timeout | undefined
  const open = (): boolean => {
    if (fd !== undefined) return false
    try {
      fd = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
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
      waiting = Buffer.alloc(0)
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    }
  }
  return {
    isFresh: open,
    write(text) {
      if (fd === undefined || waiting.length > WAITING_BYTES_MAX) return
      waiting = Buffer.concat([waiting, Buffer.from(text)])
      if (timer === undefined) flush()
    },
  }
}
