// A restore for somebody else, for people.
import { formatBytes } from '#cli/progress.ts'
import type { ShownRestore } from '#protocol/restore-api.ts'

const STATES: Readonly<Record<ShownRestore['state'], string>> = {
  asked: 'waits for its approver',
  opened: 'released, and under way',
  done: 'done',
  failed: 'failed',
  ended: 'ended',
}

export function linesOf({ state, why, user, device, administrator, asked_ms, reason, approver, push }: ShownRestore): string[] {
  return [
    `state        ${STATES[state]}${why === undefined ? '' : `: ${why}`}`,
    `of           ${user}, device ${device.slice(0, 8)}`,
    `asked by     ${administrator}, ${new Date(asked_ms).toLocaleString()}: ${reason}`,
    `released by  ${approver ?? (state === 'asked' ? 'nobody yet' : 'not known')}`,
    ...(push ? pushLines(push, state) : []),
  ]
}

function pushLines(push: NonNullable<ShownRestore['push']>, state: ShownRestore['state']): string[] {
  const { to_user, to_device, folder, on_conflict, is_target_there, files, written_bytes, total_bytes, interrupted, seen_ms, key_until_ms, result } = push
  const isUnderWay = state === 'opened'
  return [
    `to           device ${to_device.slice(0, 8)} of ${to_user}, folder ${folder === '' ? '.' : folder}, what is in the way: ${on_conflict}`,
    ...(state === 'asked' ? [`the device   ${is_target_there ? 'waits for it' : 'is NOT there: let holdfast receive run on it'}`] : []),
    `restored     ${files} files, ${formatBytes(written_bytes)}${total_bytes === null || result ? '' : ` of ${formatBytes(total_bytes)}`}`,
    ...(isUnderWay && seen_ms !== null
      ? [`heard of     ${new Date(seen_ms).toLocaleTimeString()}${interrupted === null ? '' : `: interrupted, ${interrupted}`}`]
      : []),
    ...(isUnderWay
      ? [`if it stops  ${key_until_ms === null ? 'a new approval is needed' : `it can go on until ${new Date(key_until_ms).toLocaleTimeString()}`}`]
      : []),
    ...(result ? result.unrestored.map(({ code, count }) => `NOT restored ${count}: ${code}`) : []),
    ...(result && result.lost > 0 ? [`damaged      ${result.lost} places; their names are not known`] : []),
  ]
}
