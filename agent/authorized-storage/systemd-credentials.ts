// Linux with systemd: the key is sealed by `systemd-creds` to this host's own secret, and to its TPM where there is one
// (systemd.exec(5), systemd-creds(1)). Only root can ask for it. The sealed key is no secret: it opens on this host only.
import { execFile } from 'node:child_process'
import sodium from 'sodium-native'
import { fault } from './errors.ts'
import type { Protector } from './protector.ts'

const NAME = 'holdfast'
const OUTPUT_BYTES_MAX = 65_536

export const systemdCredentials: Protector = {
  name: 'systemd-credentials',
  async isHere() {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
    try {
      const probe = Buffer.from('probe')
      return (await run('decrypt', await run('encrypt', probe))).equals(probe)
    } catch {
      return false
    }
  },
  protect: key => run('encrypt', key),
  async unprotect(kept) {
    const bytes = await run('decrypt', kept).catch((cause: unknown) => {
      throw fault('STORAGE_KEY_LOST', { found: 'systemd-creds does not open it', cause })
    })
    const key = sodium.sodium_malloc(bytes.length)
    bytes.copy(key)
    bytes.fill(0)
    return key
  },
  forget: async () => {},
}

function run(verb: 'encrypt' | 'decrypt', input: Buffer): Promise<Buffer> {
  const parameters = verb === 'encrypt' ? ['encrypt', `--name=${NAME}`, '--with-key=auto', '-', '-'] : ['decrypt', `--name=${NAME}`, '-', '-']
  return new Promise((resolve, reject) => {
    const child = execFile('systemd-creds', parameters, { encoding: 'buffer', maxBuffer: OUTPUT_BYTES_MAX, timeout: 20_000 }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    )
    child.on('error', reject)
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}
