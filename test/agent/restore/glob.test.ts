import test from 'ava'
import { createGlob } from '#restore/glob.ts'

const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

for (const [pattern, path, isMatch] of [
  ['*.pdf', 'home/ann/tax.pdf', true],
  ['*.pdf', 'home/ann.pdf/x', false],
  ['tax.pd?', 'a/tax.pdf', true],
  ['t[ab]x', 'tax', true],
  ['t[!ab]x', 'tax', false],
  ['t[a-c]x', 'tbx', true],
  ['/home/*/x', 'home/ann/x', true],
  ['/home/*/x', 'home/ann/b/x', false],
  ['/home/**/x', 'home/ann/b/x', true],
  ['/home/**/x', 'home/x', true],
  ['ann/x', 'home/ann/x', true],
  ['ann/x', 'home/joann/x', false],
  ['a.b', 'axb', false],
  ['a+b(c)$', 'a+b(c)$', true],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['**', 'any/thing', true],
  ['gr?n', bytes('wald/grün'), true],
  ['grün', bytes('grün'), true],
  ['gr[üu]n', bytes('grün'), true],
  ['caf?', 'caf\xe9', true],
  ['x-y', 'x-y', true],
  ['[]]', ']', true],
] as const) {
  test(`${pattern} ${isMatch ? 'finds' : 'passes over'} ${Buffer.from(path, 'latin1').toString()}`, t => {
    t.is(createGlob(pattern)(path), isMatch)
  })
}

test('an empty pattern and an open bracket are refused', t => {
  for (const pattern of ['', 'a[b', '[z-a]']) t.throws(() => createGlob(pattern), { code: 'PATTERN_INVALID' }, pattern)
})
