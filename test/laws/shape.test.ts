// The shape of every file: short, named exports, no escapes from the checks, every contract written down.
import test from 'ava'
import { codeOf, filesOf, sources, textOf } from './source.ts'

const FILE_LINES_MAX = 400

test('no file is longer than 400 lines', t => {
  for (const file of [...sources(), ...filesOf('.as.ts')]) t.true(textOf(file).trimEnd().split('\n').length <= FILE_LINES_MAX, file)
})

test('nothing is exported by default', t => {
  for (const file of sources()) t.notRegex(codeOf(file), /^export (default|\{[^}]*\bas default\b)/m, file)
})

test('no folder or file is named for nothing in particular', t => {
  for (const file of sources()) t.notRegex(file, /(^|\/)(utils?|common|helpers?|lib|misc)(\/|\.ts$)/, file)
})

test('every module begins with a comment that says why it exists', t => {
  for (const file of sources('appliance', 'agent', 'scripts')) t.regex(textOf(file), /^(#!.*\n)?(\/\/ |\/\*)/, file)
})

test('the checks forbid any, non-null assertions and floating promises, and no file turns a check off', t => {
  const { rules } = JSON.parse(textOf('.oxlintrc.json')) as { rules: Record<string, unknown> }
  for (const rule of ['typescript/no-explicit-any', 'typescript/no-non-null-assertion', 'typescript/no-floating-promises', 'import/no-default-export'])
    t.is(rules[rule], 'error', rule)
  const escapes = new RegExp(['oxlint', 'eslint', 'biome'].map(name => `${name}-(disable|ignore)`).join('|') + '|@ts-(ignore|nocheck|expect-error)')
  for (const file of sources()) t.notRegex(textOf(file), escapes, file)
})

test('no test is skipped, alone or expected to fail', t => {
  for (const file of filesOf('.test.ts')) t.notRegex(codeOf(file), /\btest(\.serial)?\.(skip|only|failing|todo)\b/, file)
})

test('every exported function of protocol, archive and format has a doc comment', t => {
  for (const file of sources('appliance/protocol', 'appliance/archive', 'agent/format')) {
    const lines = textOf(file).split('\n')
    lines.forEach((line, at) => {
      const name = /^export (?:async )?function\*? (\w+)/.exec(line)?.[1] ?? (isArrow(lines, at) ? /^export const (\w+)/.exec(line)?.[1] : undefined)
      if (name !== undefined) t.true((lines[at - 1] ?? '').trim().endsWith('*/'), `${file}: ${name}`)
    })
  }
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
