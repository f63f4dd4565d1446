// Set-up in two steps. `begin` takes the code and the settings, prepares the whole site as a draft and gives the recovery
// key of the appliance's state; `finish` wants the key's end typed back, and has the draft taken over by root. Only the
// newest session counts; whatever goes wrong at the end, the way is to begin anew.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { isFault } from '#protocol/fault.ts'
import { Check, Type } from '#protocol/typebox.js'
import { type Code, isSame } from './code.ts'
import { makeDraft, removeDraft } from './draft.ts'
import { fault } from './errors.ts'
import { SiteFacts } from './machine-part.ts'
import type { Places } from './places.ts'
import { checkSettings } from './settings.ts'

const FINISH_MS = 120_000
const ANSWER_BYTES_MAX = 16 * 1024
const Done = Type.Object({ done: SiteFacts })

export type Begun = { readonly session: string; readonly recovery_key: string }
export type Setup = ReturnType<typeof createSetup>

export function createSetup(places: Places, code: Code, version: string) {
  let session: string | undefined
  let isBusy = false
  const alone = async <Result>(act: () => Promise<Result>): Promise<Result> => {
    if (isBusy) throw fault('SETUP_BUSY')
    isBusy = true
    try {
      return await act()
    } finally {
      isBusy = false
    }
  }
  return {
    /**
     * Checks the settings first, so that the code is used up only by what can be set up.
     *
     * @throws SETTING_INVALID, NETWORK_INVALID, TIME_INVALID, RECOVERY_KEY_MISSING, CODE_WRONG, CODE_TRIES, SETUP_BUSY
     */
    async begin(peer: string, given: string, wanted: unknown): Promise<Begun> {
      const settings = checkSettings(wanted)
      const recovery_key = recoveryKey(places)
      await code.take(peer, given)
      return alone(async () => {
        session = undefined
        await makeDraft(places.draft, settings, recovery_key, version)
        session = randomBytes(32).toString('hex')
        return { session, recovery_key }
      })
    },
    /** For who has the session, and mistyped the key's end. @throws SETUP_ENDED, RECOVERY_KEY_MISSING */
    recoveryKeyOf(given: string): string {
      if (session === undefined || !isSame(given, session)) throw fault('SETUP_ENDED')
      return recoveryKey(places)
    },
    /** @throws SETUP_ENDED, RECOVERY_KEY_OTHER, SETUP_BUSY, FINISH_FAILED */
    async finish(given: string, recoveryKeyEnd: string): Promise<SiteFacts> {
      if (session === undefined || !isSame(given, session)) throw fault('SETUP_ENDED')
      if (!isSame(recoveryKeyEnd, endOf(recoveryKey(places)))) throw fault('RECOVERY_KEY_OTHER')
      return alone(async () => {
        session = undefined
        try {
          return await askRoot(places)
        } catch (error) {
          // The site counts from the moment that config.json is there, whether or not anybody heard of it.
          if (existsSync(places.config)) return siteFacts(places)
          removeDraft(places.draft)
          throw error
        }
      })
    },
  }
}

/** The last of the groups that the key is written in. */
const endOf = (key: string): string => key.split('-').at(-1) ?? ''

function recoveryKey(places: Places): string {
  let key = ''
  try {
    key = readFileSync(places.recoveryKey, 'utf8').trim()
  } catch (cause) {
    throw fault('RECOVERY_KEY_MISSING', { cause })
  }
  if (!/^[a-z]+(-[a-z]+)+$/.test(key)) throw fault('RECOVERY_KEY_MISSING')
  return key
}

function siteFacts(places: Places): SiteFacts {
  const value: unknown = JSON.parse(readFileSync(places.siteFacts, 'utf8'))
  if (!Check(SiteFacts, value)) throw fault('FINISH_FAILED', { found: 'other facts of the site' })
  return value
}

/** Connects to the door of the finishing step, which is all that it takes, and reads its answer. */
async function askRoot(places: Places): Promise<SiteFacts> {
  const socket = createConnection(places.door)
  socket.setTimeout(FINISH_MS, () => socket.destroy(fault('FINISH_FAILED', { found: `no answer for ${FINISH_MS / 1000} s` })))
  let text = ''
  let value: unknown
  try {
    for await (const part of socket.setEncoding('utf8') as AsyncIterable<string>) {
      text += part
      if (text.length > ANSWER_BYTES_MAX) throw fault('FINISH_FAILED', { found: 'too long an answer' })
    }
    value = JSON.parse(text)
  } catch (error) {
    throw isFault(error) ? error : fault('FINISH_FAILED', { found: 'no answer', cause: error })
  } finally {
    socket.destroy()
  }
  if (Check(Done, value)) return value.done
  const said = (value as { fault?: unknown } | null)?.fault
  throw fault('FINISH_FAILED', { found: typeof said === 'string' ? said.slice(0, 300) : 'another answer' })
}
