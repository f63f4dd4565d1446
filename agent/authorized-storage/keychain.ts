// macOS: the key lies in the login keychain, under an account name that is kept beside the store. Loaded only there.
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import sodium from 'sodium-native'
import { fault } from './errors.ts'
import type { Protector } from './protector.ts'

const SERVICE = 'holdfast-agent'
const run = promisify(execFile)

export const keychain: Protector = {
  name: 'macos-keychain',
  isHere: async () => process.platform === 'darwin',
  async protect(key) {
    const account = randomBytes(16).toString('hex')
    await say(`add-generic-password -s ${SERVICE} -a ${account} -w ${key.toString('hex')} -U\n`)
    return Buffer.from(account)
  },
  async unprotect(kept) {
    const { stdout } = await run('security', ['find-generic-password', '-s', SERVICE, '-a', kept.toString(), '-w']).catch((cause: unknown) => {
      throw fault('STORAGE_KEY_LOST', { found: 'the keychain does not give it', cause })
    })
    const key = sodium.sodium_malloc(32)
    if (key.write(stdout.trim(), 'hex') !== key.length) throw fault('STORAGE_KEY_LOST', { found: 'another item in the keychain' })
    return key
  },
  async forget(kept) {
    await run('security', ['delete-generic-password', '-s', SERVICE, '-a', kept.toString()]).catch(() => {})
  },
}

/** Gives `security` its command on standard input: arguments of a process can be seen by others. */
function say(command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('security', ['-i'], { stdio: ['pipe', 'ignore', 'ignore'] })
    child.on('error', reject)
    child.on('close', code => (code === 0 ? resolve() : reject(new Error(`security ended with ${code}`))))
    child.stdin.end(command)
  })
}
