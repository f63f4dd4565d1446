import test from 'ava'
import { otherName, otherPath } from '#restore/conflict.ts'
import { relocated } from '#restore/relocations.ts'
import { createSelection } from '#restore/selection.ts'

test('a wanted path selects itself and all below it, and nothing that only begins like it', t => {
  const selection = createSelection(['home/ann', 'etc', 'home/ann/docs'])
  t.deepEqual([...selection.wanted], ['etc', 'home/ann'])
  for (const path of ['etc', 'etc/passwd', 'home/ann', 'home/ann/docs/x']) t.true(selection.has(path), path)
  for (const path of ['home', 'home/ann-b', 'home/anna', 'et', 'etc2', 'home/bob']) t.false(selection.has(path), path)
  t.deepEqual(selection.unseen(), [])
})

test('the root, or nothing, selects everything; what was never met is told', t => {
  t.true(createSelection([]).isEverything)
  t.true(createSelection(['a', '']).isEverything)
  t.deepEqual(createSelection(['b', 'a']).unseen(), ['a', 'b'])
})

test('another name keeps the extension, and is never too long', t => {
  t.is(otherName('report.pdf', 1), 'report.restored.pdf')
  t.is(otherName('report.pdf', 2), 'report.restored-2.pdf')
  t.is(otherName('.profile', 1), '.profile.restored')
  t.is(otherPath('a.b/c', 1), 'a.b/c.restored')
  for (const name of ['x'.repeat(255), `${'x'.repeat(251)}.txt`, `a.${'y'.repeat(253)}`])
    t.true(otherName(name, 12).length <= 255 && otherName(name, 12) !== name)
})

test('what lies in a directory that got another name goes there, by the innermost one', t => {
  const relocations = [
    ['a', 'a.restored'],
    ['a/b', 'a.restored/b.restored'],
  ] as const
  t.is(relocated('a/x', relocations), 'a.restored/x')
  t.is(relocated('a/b/x', relocations), 'a.restored/b.restored/x')
  t.is(relocated('ab', relocations), 'ab')
})
