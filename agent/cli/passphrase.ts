// Where the passphrase of a user key comes from: a prompt without echo, or the first line of a file. Never an argument.
import { fault } from './errors.ts'
import { readPassword } from './password.ts'
import type { AskPassphrase } from './user-key.ts'

const PASSPHRASE_BYTES_MIN = 12

/** @param file  a path, '-' for standard input, undefined for the prompt */
export const askPassphrase =
  (file: string | undefined): AskPassphrase =>
  async isNew => {
    const question = isNew ? 'A new passphrase for your key, which no server will know (write it down: nobody can bring it back): ' : 'Passphrase of your key: '
    const passphrase = Buffer.from(await readPassword(question, file))
    if (isNew && passphrase.length < PASSPHRASE_BYTES_MIN) throw fault('PASSPHRASE_WEAK', { found: `${passphrase.length} bytes` })
    if (isNew && file === undefined) {
      const again = Buffer.from(await readPassword('Again: ', undefined))
      const isSame = again.equals(passphrase)
      again.fill(0)
      if (!isSame) throw fault('PASSPHRASE_WEAK', { found: 'two that differ' })
    }
    return passphrase
  }
