// The state and the TPM of the machine that it is in now: after the disks came into another machine, where the recovery key
// was typed to start it, this lets it start by itself again.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { listDevices, underMapping } from './block-devices.ts'
import { writeWhole } from './durable.ts'
import { checkRecoveryKey } from './luks.ts'
import type { Place } from './place.ts'
import { run } from './programs.ts'

/**
 * Seals a key of the state to this machine's TPM, under the policy that only signed releases meet; the TPM of before opens
 * it no longer.
 *
 * @throws RECOVERY_KEY_WRONG, PROGRAM_FAILED
 */
export async function bindState(place: Place, recoveryKey: string): Promise<void> {
  const { path } = underMapping(await listDevices(), place.stateMapping)
  await checkRecoveryKey(path, recoveryKey)
  // In memory only, and not among the arguments.
  const keyFile = join(place.run, 'bind.key')
  try {
    await writeWhole(keyFile, recoveryKey)
    await run('systemd-cryptenroll', [
      `--unlock-key-file=${keyFile}`,
      '--wipe-slot=tpm2',
      '--tpm2-device=auto',
      '--tpm2-pcrs=',
      '--tpm2-public-key-pcrs=11',
      path,
    ])
  } finally {
    await rm(keyFile, { force: true })
    await rm(`${keyFile}.new`, { force: true })
  }
}
