// `holdfast receive`: restores for somebody else that an administrator pushes to this device, under a directory that the
// owner of this device names. It asks and waits; no port is open here.
import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { lockHome } from '#authorized-storage/home-lock.ts'
import { Fault } from '#protocol/fault.ts'
import type { Push } from '#protocol/push-api.ts'
import { waitForPush } from '#site/pushes.ts'
import { openSite, type Site } from '#site/site.ts'
import { readAgentFile, writeAgentFile } from './agent-file.ts'
import { fault } from './errors.ts'
import type { Frame } from './frame.ts'
import { restorePushed } from './pushed-restore.ts'
import { failureLine, reportRestore } from './restore-report.ts'
import { withStorage } from './with-storage.ts'

const PAUSE_MS_MIN = 1_000
const PAUSE_MS_MAX = 60_000
/** These pass, or are about one restore only. */
const PASSING = ['UNREACHABLE', 'OVERLOADED', 'INTERNAL', 'KEYSTORE_AWAY', 'RESTORE_NOT_APPROVED', 'RESTORE_UNKNOWN', 'RESTORE_KEY_GONE']
/** This device is no longer one of the site. */
const ENDING = ['INTERRUPTED', 'NOT_PAIRED', 'DEVICE_DEAUTHORIZED', 'USER_DISABLED', 'CERTIFICATE_REQUIRED', 'SITE_UNTRUSTED', 'ESCROW_NONE']

type Options = { readonly into?: string; readonly once?: true }

export function registerReceive(program: Command, frame: Frame): void {
  program
    .command('receive')
    .description('Wait for restores that an administrator pushes to this device, and carry them out; each was released by another person.')
    .option('--into <dir>', 'under which directory they may land, never outside of it; remembered, so that later runs need none')
    .option('--once', 'end after one restore')
    .action(async (options: Options) => {
      const home = frame.home()
      const kept = readAgentFile(home)
      const into = options.into === undefined ? kept.receive_into : resolve(options.into)
      if (into === undefined) throw fault('USAGE_WRONG', { expected: '--into DIR, the first time', found: 'none' })
      await withStorage(home, async storage => {
        const site = await openSite(storage, frame.signal)
        const unlock = await lockHome(home, 'receive')
        try {
          if (into !== kept.receive_into) await remember(home, into)
          frame.say(`waiting for restores that are pushed to this device; they land under ${into}`)
          await receive(frame, site, into, options.once === true)
        } finally {
          unlock()
          site.close()
        }
      })
    })
}

/** While nobody else writes that file. */
async function remember(home: string, into: string): Promise<void> {
  const unlock = await lockHome(home)
  try {
    writeAgentFile(home, { ...readAgentFile(home), receive_into: into })
  } finally {
    unlock()
  }
}

async function receive(frame: Frame, site: Site, into: string, isOnce: boolean): Promise<void> {
  let pause_ms = PAUSE_MS_MIN
  for (;;) {
    const asked_ms = performance.now()
    try {
      const push = await waitForPush(site)
      if (push) {
        await carryOut(frame, site, push, into)
        if (isOnce) return
      }
      // An answer that comes at once without anything (another agent of this device waits, too) must not make this a hurry.
      if (push || performance.now() - asked_ms > PAUSE_MS_MIN) {
        pause_ms = PAUSE_MS_MIN
        continue
      }
    } catch (error) {
      if (!(error instanceof Fault) || ENDING.includes(error.code) || (isOnce && !PASSING.includes(error.code))) throw error
      frame.say(error.message)
    }
    // Not all at once, when an appliance comes back.
    await pause(pause_ms * (0.5 + Math.random() / 2), undefined, { signal: frame.signal }).catch(() => {
      throw frame.signal.reason
    })
    pause_ms = Math.min(PAUSE_MS_MAX, pause_ms * 2)
  }
}

async function carryOut(frame: Frame, site: Site, push: Push, into: string): Promise<void> {
  const start_ms = performance.now()
  const { restore, user, device, administrator, reason } = push
  frame.say(`restore ${restore.slice(0, 8)}: files of ${user} (device ${device.slice(0, 8)}), asked for by ${administrator}: ${reason}`)
  try {
    const { tally, target, snapshot } = await restorePushed(site, push, into, frame.signal, {
      onProgress: ({ files, written_bytes, total_bytes }) =>
        frame.progress.update({ done_bytes: written_bytes, total_bytes: total_bytes ?? undefined, note: `${files} files` }),
      onFailure: failure => frame.say(failureLine('not restored', failure)),
      onInterrupted: why => frame.say(`restore ${restore.slice(0, 8)}: waits to go on: ${why.message}`),
    })
    reportRestore(frame, tally, { restore, user, snapshot, target }, target, performance.now() - start_ms)
  } finally {
    frame.progress.clear()
  }
}
