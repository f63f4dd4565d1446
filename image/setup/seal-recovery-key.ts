// The escrow of the recovery key: sealed to the keystore's operators (their public keys are in the connection file), so that
// with the machine's disk and one of their keys the state opens again when the machine and whoever has the sheet are gone. Any
// program for the age format opens it.
import { encrypt } from '#keystore-operate/age.ts'

/** The file, with one line that is the key. @throws AGE_KEY_INVALID */
export async function sealRecoveryKey(key: string, recipients: readonly string[]): Promise<Buffer> {
  const content = Buffer.from(`${key}\n`)
  const parts: Buffer[] = []
  for await (const part of encrypt(one(content), recipients)) parts.push(part)
  content.fill(0)
  return Buffer.concat(parts)
}

async function* one(content: Buffer): AsyncGenerator<Buffer> {
  yield content
}
