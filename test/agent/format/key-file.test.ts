import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { KEY_FILE_BYTES_MAX, parseKeyFile, writeKeyFile } from '#format/key-file.ts'
import { EPOCHS_MAX, keyRingOf } from '#format/keys.ts'
import { isFault } from '#protocol/fault.ts'
import { testRing } from './keys-for-tests.ts'
import { check } from './seed.ts'

const VECTOR = readFileSync(join(import.meta.dirname, 'vectors/recovery-file.txt'), 'latin1')
const NOTES = { user: 'ann', tenant: 'example', made_ms: 1_790_000_000_000 }
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

test('the recovery file of the vector is written byte for byte, and read back', t => {
  t.is(writeKeyFile(testRing(), NOTES).toString('latin1'), VECTOR)
  const ring = parseKeyFile(bytes(VECTOR))
  t.deepEqual(ring.epochs, [1, 2])
  for (const epoch of ring.epochs) t.deepEqual(ring.keyOf(epoch), testRing().keyOf(epoch))
})

test('a file that was typed in is read whatever its case, spaces, empty lines, comments and line ends', t => {
  for (const text of [
    VECTOR.toUpperCase(),
    VECTOR.replaceAll('\n', '\r\n'),
    VECTOR.replaceAll('\n', '\n\n# a note\n\t \n'),
    VECTOR.replaceAll(' ', '  \t'),
    VECTOR.replace(/^#.*\n/gm, '').trimEnd(),
    VECTOR.replace(/([0-9a-f]{8}) (?=[0-9a-f]{8} )/g, '$1'),
  ])
    t.deepEqual(parseKeyFile(bytes(text)).keyOf(2), testRing().keyOf(2), text)
})

for (const [name, text, told] of [
  ['empty', '', 'begins with'],
  ['another text', 'dear diary', 'line 1'],
  ['no version', VECTOR.replace('file 1', 'file'), 'line 1'],
  ['version 0', VECTOR.replace('file 1', 'file 0'), 'version 1'],
  ['one digit wrong', VECTOR.replace('1c1d1e1f', '1c1d1e1e'), 'line 4'],
  ['two digits swapped', VECTOR.replace('1c1d1e1f', '1cd11e1f'), 'line 4'],
  ['a letter that is no digit', VECTOR.replace('1c1d1e1f', '1c1d1e1g'), '64 hex digits in line 4'],
  ['one digit too few', VECTOR.replace('1c1d1e1f', '1c1d1e1'), '64 hex digits in line 4'],
  ['one digit too many', VECTOR.replace('1c1d1e1f', '1c1d1e1f0'), '64 hex digits in line 4'],
  ['a check missing', VECTOR.replace(/ check .*/, ''), 'line 4'],
  ['a key line missing', VECTOR.replace(/key 1.*\n/, ''), 'key 1'],
  ['the last key line missing', VECTOR.replace(/key 2.*\n/, ''), 'end 1'],
  ['key lines swapped', VECTOR.replace(/(key 1.*\n)(key 2.*\n)/, '$2$1'), 'key 1'],
  ['the end missing', VECTOR.replace(/end.*\n/, ''), 'cut'],
  ['the end altered', VECTOR.replace(/end 2 check ./, 'end 2 check x'), 'line 6'],
  ['the check of the file of other keys', VECTOR.replace(/(end 2 check ).*/, '$100000000'), 'line 6'],
  ['more behind the end', `${VECTOR}key 3`, 'line 7'],
  ['an unknown word', VECTOR.replace('key 2', 'kay 2'), 'line 5'],
  ['no keys', 'Holdfast recovery file 1\nend 0 check 00000000\n', 'line 2'],
  ['too long', 'Holdfast recovery file 1\n'.padEnd(KEY_FILE_BYTES_MAX + 1, '#'), 'at most'],
] as const) {
  test(`a recovery file is refused, and what is wrong is said: ${name}`, t => {
    const error = t.throws(() => parseKeyFile(bytes(text)))
    t.true(isFault(error, 'KEY_FILE_WRONG'), String(error))
    t.true(error?.message.includes(told), error?.message)
    t.false(/1c1d1e/.test(error?.message ?? ''), 'a key is in the message')
  })
}

test('a recovery file of a later version asks for an update', t => {
  t.true(
    isFault(
      t.throws(() => parseKeyFile(bytes(VECTOR.replace('file 1', 'file 2')))),
      'VERSION_UNSUPPORTED',
    ),
  )
})

test('any single changed character of a key is found', t => {
  const from = VECTOR.indexOf('key 1 ') + 6
  check(
    fc.property(
      fc.integer({ min: from, max: from + 70 }),
      fc.integer({ min: 0, max: 15 }).map(value => value.toString(16)),
      (at, digit) => {
        fc.pre(VECTOR[at] !== ' ' && VECTOR[at] !== digit)
        t.true(
          isFault(
            t.throws(() => parseKeyFile(bytes(VECTOR.slice(0, at) + digit + VECTOR.slice(at + 1)))),
            'KEY_FILE_WRONG',
          ),
        )
      },
    ),
    300,
  )
})

test('as many keys as a ring may have fit into the file', t => {
  const ring = keyRingOf(Array.from({ length: EPOCHS_MAX }, (_, at) => ({ epoch: at + 1, key: Buffer.alloc(32, at) })))
  const text = writeKeyFile(ring, NOTES)
  t.true(text.length <= KEY_FILE_BYTES_MAX)
  t.is(parseKeyFile(text).newestEpoch, EPOCHS_MAX)
})
