import test from 'ava'
import fc from 'fast-check'
import sodium from 'sodium-native'
import { createEndsPage, createPathHash } from '#format/cut.ts'
import { comparePaths } from '#format/path-order.ts'
import { PAGE_ENTRIES_MAX, PAGE_ENTRIES_MIN, PATH_BYTES_MAX } from '#protocol/limits.ts'
import { testKeys } from './keys-for-tests.ts'
import { check, SEED } from './seed.ts'

const keys = testKeys()
const endsPage = createEndsPage(keys)

function pagesOf(paths: readonly string[]): string[][] {
  const pages: string[][] = [[]]
  for (const path of paths) {
    const page = pages.at(-1) as string[]
    page.push(path)
    if (endsPage(path, page.length)) pages.push([])
  }
  return pages.filter(page => page.length > 0)
}

test('the path hash is SipHash-2-4', t => {
  const hash = createPathHash(keys.path)
  check(
    fc.property(fc.uint8Array({ maxLength: PATH_BYTES_MAX }), bytes => {
      const expected = Buffer.alloc(8)
      sodium.crypto_shorthash(expected, Buffer.from(bytes), keys.path)
      return hash(Buffer.from(bytes).toString('latin1')) === expected.readUInt32LE(0)
    }),
    300,
  )
  t.throws(() => hash('x'.repeat(PATH_BYTES_MAX + 1)), { instanceOf: RangeError })
})

test('pages have 256 to 8,192 entries, mostly about 2,300', t => {
  const paths = Array.from({ length: 200_000 }, (_, i) => `home/ann/${SEED}/${i}`)
  const pages = pagesOf(paths)
  t.true(pages.slice(0, -1).every(page => page.length >= PAGE_ENTRIES_MIN && page.length <= PAGE_ENTRIES_MAX))
  const mean = paths.length / pages.length
  t.true(mean > 1500 && mean < 3500, `${mean}`)
})

test('one path put in or taken out changes at most a couple of pages', t => {
  const paths = Array.from({ length: 60_000 }, (_, i) => `home/ann/${SEED}/${String(i).padStart(6, '0')}`)
  const before = new Set(pagesOf(paths).map(page => page.join('\n')))
  check(
    fc.property(fc.integer({ min: 0, max: paths.length - 1 }), fc.boolean(), (at, isPutIn) => {
      const changed = isPutIn ? [...paths, `${paths[at]}x`].sort(comparePaths) : paths.filter((_, i) => i !== at)
      const pages = pagesOf(changed).map(page => page.join('\n'))
      return pages.filter(page => !before.has(page)).length <= 3
    }),
    20,
  )
  t.pass()
})
