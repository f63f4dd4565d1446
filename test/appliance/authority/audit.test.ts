import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { checkAudit, openAudit } from '#authority/audit.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-audit-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

async function makeLog(name: string): Promise<string> {
  const file = join(folder, name)
  const audit = await openAudit(file, Date.now)
  await Promise.all(Array.from({ length: 10 }, (_, i) => audit.record({ act: 'test', who: 'admin', facts: { i } })))
  await audit.close()
  return file
}

test('an altered, removed, repeated or exchanged line breaks the chain, and is named', async t => {
  const file = await makeLog('altered')
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  t.is((await checkAudit(file)).lines, 10)
  const damaged: [string[], number][] = [
    [lines.map((line, i) => (i === 4 ? line.replace('admin', 'nobody') : line)), 5],
    [lines.filter((_, i) => i !== 6), 7],
    [[...lines.slice(0, 3), lines[2] ?? '', ...lines.slice(3)], 4],
    [[lines[1] ?? '', lines[0] ?? '', ...lines.slice(2)], 1],
  ]
  for (const [list, number] of damaged) {
    writeFileSync(file, `${list.join('\n')}\n`)
    await t.throwsAsync(checkAudit(file), { code: 'AUDIT_BROKEN', message: new RegExp(`line ${number} `) })
  }
})

test('a line that a crash cut short is cut off, and the chain goes on', async t => {
  const file = await makeLog('torn')
  appendFileSync(file, '{"number":11,"time":"2026')
  const audit = await openAudit(file, Date.now)
  await audit.record({ act: 'after', who: 'admin' })
  await audit.close()
  t.is((await checkAudit(file)).lines, 11)
})
