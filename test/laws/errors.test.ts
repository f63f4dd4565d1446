// Every error that a person can meet is explained, and nothing is explained that is not there.
import { join } from 'node:path'
import test from 'ava'
import type { ErrorRow } from '#protocol/fault.ts'
import { EXIT } from '#protocol/fault.ts'
import { filesOf, ROOT, sources, textOf, violations } from './source.ts'

type Row = { readonly file: string; readonly row: ErrorRow }
type Explained = { readonly file: string; readonly cells: Readonly<Record<string, string>> }

const isRow = (value: unknown): value is ErrorRow => typeof value === 'object' && value !== null && 'exit' in value && 'text' in value && 'next' in value

async function codesInSource(): Promise<Map<string, Row[]>> {
  const codes = new Map<string, Row[]>()
  for (const file of sources('appliance', 'agent', 'keystore', 'image').filter(name => /^export const \w+_ERRORS = /m.test(textOf(name)))) {
    const module_ = (await import(join(ROOT, file))) as Record<string, unknown>
    for (const table of Object.values(module_)) {
      if (typeof table !== 'object' || table === null) continue
      for (const [code, row] of Object.entries(table)) if (isRow(row)) codes.set(code, [...(codes.get(code) ?? []), { file, row }])
    }
  }
  return codes
}

/** Rows of the tables whose first column is called `code`. */
function codesInDocuments(): Map<string, Explained[]> {
  const codes = new Map<string, Explained[]>()
  for (const file of filesOf('.md', 'appliance', 'agent', 'keystore', 'image')) {
    let head: string[] | undefined
    for (const line of textOf(file).split('\n')) {
      if (!line.startsWith('|')) {
        head = undefined
        continue
      }
      const cells = line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim())
      if (!head) head = cells
      else if (head[0] === 'code' && !/^-+$/.test(cells[0] ?? '')) {
        const code = (cells[0] ?? '').replaceAll('`', '')
        const named = Object.fromEntries(head.map((name, at) => [name, cells[at] ?? '']))
        codes.set(code, [...(codes.get(code) ?? []), { file, cells: named }])
      }
    }
  }
  return codes
}

const inSource = await codesInSource()
const inDocuments = codesInDocuments()

test('every error code has its row in a document', t => {
  t.true(inSource.size > 40)
  const wrong = violations(inSource, ([code, rows], report) => {
    if (!inDocuments.has(code)) report(`${code} of ${rows.map(row => row.file).join(', ')}`)
  })
  t.deepEqual(wrong, [])
})

test('every row of a document is an error code', t => {
  const wrong = violations(inDocuments, ([code, rows], report) => {
    if (!inSource.has(code)) report(`${code} in ${rows.map(row => row.file).join(', ')}`)
  })
  t.deepEqual(wrong, [])
})

test('a document gives the exit code and the status that the program gives', t => {
  for (const [code, explained] of inDocuments) {
    for (const { file, cells } of explained) {
      const rows = inSource.get(code) ?? []
      if (cells['exit'] !== undefined)
        t.true(
          rows.some(({ row }) => String(row.exit) === cells['exit']),
          `${file}: exit code of ${code}`,
        )
      if (cells['status'] !== undefined && /\d/.test(cells['status']))
        t.true(
          rows.some(({ row }) => String(row.status) === cells['status']),
          `${file}: status of ${code}`,
        )
    }
  }
})

test('no two rooms use one code for different things', t => {
  for (const [code, rows] of inSource) t.is(new Set(rows.map(({ row }) => row.text)).size, 1, `${code} of ${rows.map(row => row.file).join(', ')}`)
})

test('every code is in capitals, has an agreed exit code, and says what to do next', t => {
  const exits: ReadonlySet<number> = new Set(Object.values(EXIT))
  for (const [code, rows] of inSource) {
    t.regex(code, /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/)
    for (const { row, file } of rows) t.true(exits.has(row.exit) && row.exit !== EXIT.done && row.text.length > 0 && row.next.length > 0, `${file}: ${code}`)
  }
})

test('every fault that is made has a row', t => {
  const wrong = violations(sources('appliance', 'agent', 'keystore', 'image'), (file, report) => {
    for (const [, code = ''] of textOf(file).matchAll(/\b\w*[fF]ault\('([A-Z][A-Z0-9_]+)'/g)) if (!inSource.has(code)) report(`${file}: ${code}`)
  })
  t.deepEqual(wrong, [])
})
