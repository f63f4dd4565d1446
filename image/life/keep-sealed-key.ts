// The recovery key, sealed to the keystore's operators at set-up, also lies on the ESP: that partition opens without a key, and
// goes wherever the disk goes.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SEALED_RECOVERY_KEY } from '#image-setup/places.ts'
import { writeWhole } from './durable.ts'
import type { Place } from './place.ts'

export const ON_ESP = 'holdfast-recovery-key.age'

/**
 * Puts it there, unless it is there; looks once a start.
 *
 * @param findEsp  where the ESP is mounted
 */
export async function keepSealedKey(place: Place, findEsp: () => string): Promise<void> {
  const [sealed, done] = [join(place.home, SEALED_RECOVERY_KEY), join(place.run, 'sealed-key-kept')]
  if (existsSync(done) || !existsSync(sealed)) return
  const content = await readFile(sealed)
  const there = join(findEsp(), ON_ESP)
  if (!existsSync(there) || !(await readFile(there)).equals(content)) await writeWhole(there, content, 0o644)
  await writeWhole(done, '')
}
