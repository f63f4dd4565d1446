// Restarts the machine after an act has answered.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Whoever asked gets the answer first. */
const PAUSE_S = 2

/** Restarts the machine soon; services are stopped as at any restart. */
export async function restartSoon(): Promise<void> {
  await promisify(execFile)('systemd-run', ['--quiet', `--on-active=${PAUSE_S}`, '--timer-property=AccuracySec=100ms', 'systemctl', 'reboot'])
}
