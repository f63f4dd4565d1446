// Which records a client may send where. What only the appliance itself writes, and what would remove something, is refused.
import { fault } from '#protocol/errors.ts'
import { CLEAR_BYTES_MAX, PAGE_BLOCKS_MAX } from '#protocol/limits.ts'
import { ID_BYTES, KIND, type RecordHeader } from '#protocol/record.ts'

const PAGE_CLEAR_BYTES_MAX = Math.min(PAGE_BLOCKS_MAX * ID_BYTES, CLEAR_BYTES_MAX)

/** Blocks, pages and custody records may be uploaded. @throws RECORD_INVALID, RECORD_TOO_LARGE */
export function checkUploaded({ kind, clear_bytes }: RecordHeader): void {
  if (kind === KIND.page) {
    if (clear_bytes > PAGE_CLEAR_BYTES_MAX)
      throw fault('RECORD_TOO_LARGE', { expected: `a page of at most ${PAGE_BLOCKS_MAX} blocks`, found: `${clear_bytes} bytes of ids` })
    if (clear_bytes % ID_BYTES !== 0) throw fault('RECORD_INVALID', { expected: 'a page with whole ids', found: `${clear_bytes} bytes of them` })
    return
  }
  if (kind === KIND.snapshot) throw fault('RECORD_INVALID', { expected: 'blocks and pages', found: 'a snapshot', next: 'commit it with its own request' })
  if (kind !== KIND.block && kind !== KIND.custody) throw fault('RECORD_INVALID', { expected: 'blocks and pages', found: `kind ${kind}` })
  if (clear_bytes !== 0) throw fault('RECORD_INVALID', { expected: 'no clear part', found: `${clear_bytes} bytes` })
}

/** One record, a snapshot. @throws RECORD_INVALID */
export function onlySnapshot(): (header: RecordHeader) => void {
  let records = 0
  return ({ kind }) => {
    if (kind !== KIND.snapshot) throw fault('RECORD_INVALID', { expected: 'a snapshot', found: `kind ${kind}` })
    if (++records > 1) throw fault('RECORD_INVALID', { expected: 'one snapshot record', found: 'more' })
  }
}
