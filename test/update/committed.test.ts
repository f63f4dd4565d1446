import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { commit, readCommitted } from '../../image/update/committed.ts'

function fileOf(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-committed-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return join(folder, 'committed.json')
}

test('the highest release that was kept is remembered, whatever was kept later', async t => {
  const path = fileOf(t)
  t.is(await readCommitted(path), 0)
  for (const version of [1, 3, 2]) await commit(version, path)
  t.is(await readCommitted(path), 3)
  t.is(readFileSync(path, 'utf8'), '{"version":3}\n')
})

test('a damaged note counts as none, and is written anew', async t => {
  const path = fileOf(t)
  writeFileSync(path, '{"version":-1}')
  t.is(await readCommitted(path), 0)
  await commit(2, path)
  t.is(await readCommitted(path), 2)
})
