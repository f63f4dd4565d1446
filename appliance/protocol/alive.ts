// Tells the service manager, if there is one that wants to know, that this process still turns: a process that hangs is killed
// and started again. The message needs a kind of socket that the runtime lacks, so systemd's own program sends it.
import { execFile } from 'node:child_process'

const NOTIFY = '/usr/bin/systemd-notify'
/** Told so often in the time that the manager waits, so that one late message does no harm. */
const TIMES = 3
const US_PER_MS = 1000

/** Goes on until the process ends; does not keep it from ending. Does nothing where nobody asked (WatchdogSec= of systemd). */
export function sayAliveWhileAlive(environment: NodeJS.ProcessEnv = process.env): void {
  const wait_ms = Number(environment['WATCHDOG_USEC'] ?? 0) / US_PER_MS
  if (!(wait_ms > 0) || !environment['NOTIFY_SOCKET']) return
  const say = (): void => void execFile(NOTIFY, ['WATCHDOG=1'], () => undefined)
  say()
  setInterval(say, wait_ms / TIMES).unref()
}
