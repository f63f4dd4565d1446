import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { FACT_WORDS, FileStats, STATX_BYTES, wordsOf, writeFacts } from '#filesystem/file-stats.ts'
import { statsOfPath } from '#filesystem/libc.ts'
import { bytePath } from '#filesystem/system-path.ts'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)

test(`what statx says is taken apart without losing a bit (seed ${seed})`, t => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  const seconds = fc.bigInt({ min: -9_223_372_036n, max: 9_223_372_035n })
  const nanoseconds = fc.integer({ min: 0, max: 999_999_999 })
  const size = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n })
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffff }),
      u32,
      u32,
      u64,
      size,
      seconds,
      nanoseconds,
      seconds,
      nanoseconds,
      u32,
      u32,
      (mode, uid, nlink, ino, bytes, ms, mn, cs, cn, major, minor) => {
        const statx = new DataView(new ArrayBuffer(STATX_BYTES))
        statx.setUint32(16, nlink, true)
        statx.setUint32(20, uid, true)
        statx.setUint16(28, mode, true)
        statx.setBigUint64(32, ino, true)
        statx.setBigUint64(40, bytes, true)
        statx.setBigInt64(96, cs, true)
        statx.setUint32(104, cn, true)
        statx.setBigInt64(112, ms, true)
        statx.setUint32(120, mn, true)
        statx.setUint32(128, major, true)
        statx.setUint32(132, minor, true)
        statx.setUint32(136, major, true)
        statx.setUint32(140, minor, true)
        const words = wordsOf(new ArrayBuffer(2 * FACT_WORDS * 4))
        writeFacts(words, FACT_WORDS, new Uint32Array(statx.buffer))
        const stats = new FileStats(words, FACT_WORDS)
        t.is(stats.mode, mode)
        t.is(stats.uid, uid)
        t.is(stats.nlink, nlink)
        t.is(stats.ino, ino)
        t.is(stats.size, Number(bytes))
        t.is(stats.mtime_ns, ms * 1_000_000_000n + BigInt(mn))
        t.is(stats.ctime_ns, cs * 1_000_000_000n + BigInt(cn))
        t.deepEqual(stats.rdev, [major, minor])
        // makedev() of the C library.
        const dev = (BigInt(major & 0xfff) << 8n) | (BigInt(major >>> 12) << 44n) | BigInt(minor & 0xff) | (BigInt(minor >>> 8) << 20n)
        t.is(stats.dev, dev)
      },
    ),
    { seed },
  )
})

test('files of this machine have the facts that the runtime finds', t => {
  for (const folder of ['/dev', '/etc', '/usr/bin']) {
    for (const name of readdirSync(folder).slice(0, 50)) {
      const path = join(folder, name)
      const wanted = lstatSync(path, { bigint: true, throwIfNoEntry: false })
      if (!wanted) continue
      const found = statsOfPath(bytePath(path))
      t.is(found.mode, Number(wanted.mode), path)
      t.deepEqual([found.dev, found.ino, found.ctime_ns], [wanted.dev, wanted.ino, wanted.ctimeNs], path)
      t.deepEqual([found.uid, found.gid, found.nlink, found.blocks], [wanted.uid, wanted.gid, wanted.nlink, wanted.blocks].map(Number), path)
      if (wanted.isFile()) t.deepEqual([found.size, found.mtime_ns], [Number(wanted.size), wanted.mtimeNs], path)
    }
  }
})
