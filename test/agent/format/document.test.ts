import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { FORMAT_ERRORS } from '#format/errors.ts'
import { packStored, piecesOfPacked } from '#format/pack.ts'

const DOCUMENT = readFileSync(join(import.meta.dirname, '../../../agent/format/FORMAT.md'), 'utf8')
const vector = (name: string): string => readFileSync(join(import.meta.dirname, 'vectors', name), 'utf8')
const records = JSON.parse(vector('records.json')) as { good: { name: string; record: string; plaintext: string }[] }
const page = JSON.parse(vector('page.json')) as { plaintext: string }
const keys = JSON.parse(vector('keys.json')) as { derived: Record<string, string> }

const fenced = (language: string): string[] => [...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\n([^\`]*)\`\`\``, 'gm'))].map(match => match[1] ?? '')
// Each line: hex, then two spaces and what it is.
const hexOf = (text: string): string =>
  text
    .split('\n')
    .filter(line => !line.startsWith('#'))
    .map(line => (line.split(/ {2}/)[0] ?? '').replaceAll(' ', ''))
    .join('')

test('the worked bytes of FORMAT.md are those of the vectors', t => {
  const [record, plaintext, ...more] = fenced('bytes')
  t.is(more.length, 0)
  t.is(hexOf(record ?? ''), records.good[0]?.record)
  t.is(hexOf(plaintext ?? ''), page.plaintext)
  t.is(hexOf(fenced('inside')[0] ?? ''), Buffer.concat(piecesOfPacked(packStored(Buffer.from(records.good[0]?.plaintext ?? '', 'hex')))).toString('hex'))
})

test('the keys and the recovery file of FORMAT.md are those of the vectors', t => {
  const shown = (fenced('keys')[0] ?? '').trim().split('\n')
  t.deepEqual(shown.map(line => line.split('  ')[0]).sort(), Object.values(keys.derived).sort())
  t.is(fenced('text')[0], vector('recovery-file.txt'))
})

test('FORMAT.md has a row for every error code of the format, and no other', t => {
  const rows = [...DOCUMENT.matchAll(/^\| ([A-Z_]{5,}) \|/gm)].map(match => match[1] ?? '')
  t.deepEqual(rows.sort(), Object.keys(FORMAT_ERRORS).sort())
})
