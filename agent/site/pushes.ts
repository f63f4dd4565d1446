// What a device asks the authority about restores for somebody else that are pushed to it.
import { Ticket, UserKey } from '#protocol/authority-api.ts'
import { JSON_BYTES_MAX } from '#protocol/limits.ts'
import { PUSH_PATHS, type Push, type PushReport, Waited } from '#protocol/push-api.ts'
import { Type } from '#protocol/typebox.js'
import type { Site } from './site.ts'

const Nothing = Type.Object({})

/** What is to be restored here; null after a while without anything. */
export const waitForPush = async (site: Site): Promise<Push | null> => (await site.ask(Waited, PUSH_PATHS.wait, {}, 2 * JSON_BYTES_MAX)).push

/** The owner's key, sealed to a key that was made for this answer (32 bytes). @throws RESTORE_UNKNOWN, RESTORE_KEY_GONE, RESTORE_NOT_APPROVED, KEYSTORE_AWAY */
export const fetchPushKey = (site: Site, restore: string, answerKey: Buffer): Promise<UserKey> =>
  site.ask(UserKey, PUSH_PATHS.key, { restore, answer_key: answerKey.toString('base64') })

/** For the owner's archive. @throws RESTORE_UNKNOWN it is over */
export const fetchPushTicket = (site: Site, restore: string): Promise<Ticket> => site.ask(Ticket, PUSH_PATHS.ticket, { restore })

/** @throws RESTORE_UNKNOWN it is over */
export async function reportPush(site: Site, report: PushReport): Promise<void> {
  await site.ask(Nothing, PUSH_PATHS.report, report)
}
