import test from 'ava'
import fc from 'fast-check'
import { comparePaths, isWithin } from '#format/path-order.ts'
import { check } from './seed.ts'

const component = fc.string({ unit: fc.constantFrom('a', 'b', '-', ' ', '.', '0', '\x01', '\xff', 'ab'), minLength: 1, maxLength: 4 })
const path = fc.array(component, { minLength: 1, maxLength: 5 })

const byComponents = (a: readonly string[], b: readonly string[]): number => {
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const order = Buffer.compare(Buffer.from(a[at] ?? '', 'latin1'), Buffer.from(b[at] ?? '', 'latin1'))
    if (order !== 0) return order
  }
  return a.length - b.length
}

test('path order is the order of the components, bytewise', t => {
  check(
    fc.property(path, path, (a, b) => Math.sign(comparePaths(a.join('/'), b.join('/'))) === Math.sign(byComponents(a, b))),
    5000,
  )
  t.pass()
})

test('what is in a directory stands behind it in one run', t => {
  check(
    fc.property(
      fc.uniqueArray(
        path.map(parts => parts.join('/')),
        { minLength: 2, maxLength: 40 },
      ),
      paths => {
        const sorted = [...paths].sort(comparePaths)
        return sorted.every((directory, at) => {
          const inside = sorted.map(one => isWithin(one, directory))
          const run = inside.filter(Boolean).length
          return inside.indexOf(true) === at && inside.slice(at, at + run).every(Boolean)
        })
      },
    ),
    500,
  )
  t.pass()
})

test('a name that goes on below the slash comes after the directory', t => {
  t.deepEqual(['a-b', 'a/b', 'a', 'a b', 'a/a/c', 'b'].sort(comparePaths), ['a', 'a/a/c', 'a/b', 'a b', 'a-b', 'b'])
})

test('everything is within the root, and a path is within itself, but not within one that merely begins the same', t => {
  t.true(isWithin('a/b', ''))
  t.true(isWithin('a/b', 'a/b'))
  t.true(isWithin('a/b/c', 'a/b'))
  t.false(isWithin('a/bc', 'a/b'))
  t.false(isWithin('a', 'a/b'))
})
