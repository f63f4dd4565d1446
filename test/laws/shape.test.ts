// The shape of every file: short, named exports, no escapes from the checks, every contract written down.
import test from 'ava'
import { codeOf, filesOf, sources, textOf, violations } from './source.ts'

const FILE_LINES_MAX = 400

test('no file is longer than 400 lines', t => {
  const wrong = violations([...sources(), ...filesOf('.as.ts')], (file, report) => {
    const lines = textOf(file).trimEnd().split('\n').length
    if (lines > FILE_LINES_MAX) report(`${file}: ${lines}`)
  })
  t.deepEqual(wrong, [])
})

/** No file has a match of this. */
const noneMatches = (files: Iterable<string>, of: (file: string) => string, pattern: RegExp): string[] =>
  violations(files, (file, report) => {
    const found = pattern.exec(of(file))
    if (found) report(`${file}: ${found[0].trim()}`)
  })

test('nothing is exported by default', t => {
  t.deepEqual(noneMatches(sources(), codeOf, /^export (default|\{[^}]*\bas default\b)/m), [])
})

test('no folder or file is named for nothing in particular', t => {
  t.deepEqual(
    noneMatches(sources(), file => file, /(^|\/)(utils?|common|helpers?|lib|misc)(\/|\.ts$)/),
    [],
  )
})

test('every module begins with a comment that says why it exists', t => {
  const wrong = sources('appliance', 'agent', 'keystore', 'image', 'scripts').filter(file => !/^(#!.*\n)?(\/\/ |\/\*)/.test(textOf(file)))
  t.deepEqual(wrong, [])
})

test('the checks forbid any, non-null assertions and floating promises, and no file turns a check off', t => {
  const { rules } = JSON.parse(textOf('.oxlintrc.json')) as { rules: Record<string, unknown> }
  for (const rule of ['typescript/no-explicit-any', 'typescript/no-non-null-assertion', 'typescript/no-floating-promises', 'import/no-default-export'])
    t.is(rules[rule], 'error', rule)
  const escapes = new RegExp(`${['oxlint', 'eslint', 'biome'].map(name => `${name}-(disable|ignore)`).join('|')}|@ts-(ignore|nocheck|expect-error)`)
  t.deepEqual(noneMatches(sources(), textOf, escapes), [])
})

test('no test runs alone or is expected to fail, and one is skipped only where its title says why', t => {
  t.deepEqual(noneMatches(filesOf('.test.ts'), codeOf, /\btest(\.serial)?\.(only|failing|todo)\b|^test(\.serial)?\.skip\(/m), [])
})

test('every exported function of protocol, archive, format and keystore has a doc comment', t => {
  const wrong = violations(sources('appliance/protocol', 'appliance/archive', 'agent/format', 'keystore'), (file, report) => {
    const lines = textOf(file).split('\n')
    lines.forEach((line, at) => {
      const name = /^export (?:async )?function\*? (\w+)/.exec(line)?.[1] ?? (isArrow(lines, at) ? /^export const (\w+)/.exec(line)?.[1] : undefined)
      if (name !== undefined && !(lines[at - 1] ?? '').trim().endsWith('*/')) report(`${file}: ${name}`)
    })
  })
  t.deepEqual(wrong, [])
})

/** Whether an exported constant is a function. */
function isArrow(lines: readonly string[], at: number): boolean {
  if (!/^export const \w+[^=]* = (async )?(<[^>]*>)?\(/.test(lines[at] ?? '')) return false
  const statement: string[] = []
  for (let line = at; line < lines.length && statement.length < 12; line++) {
    statement.push(lines[line] ?? '')
    if (line + 1 < lines.length && /^\S/.test(lines[line + 1] ?? '') && !/^[)\]}]/.test(lines[line + 1] ?? '')) break
  }
  return /\)(: [^=]+)? =>/.test(statement.join(' '))
}
