// What a test expects to be refused.
import type { ExecutionContext } from 'ava'
import { isFault } from '#protocol/fault.ts'

export async function refused(t: ExecutionContext, code: string, act: Promise<unknown>): Promise<void> {
  try {
    await act
    t.fail(`${code} did not come`)
  } catch (error) {
    t.true(isFault(error, code), String(error))
  }
}
