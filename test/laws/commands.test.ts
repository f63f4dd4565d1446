// What a command says of itself is what its reference says.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { filesOf, ROOT, textOf } from './source.ts'

const run = promisify(execFile)
const help = async (launcher: string, words: readonly string[]): Promise<string> => (await run(join(ROOT, 'scripts', launcher), [...words, '--help'])).stdout

/** The subcommands that a help text lists. */
const subcommandsOf = (text: string): string[] =>
  [...(text.split(/^Commands:$/m)[1]?.split(/^\S/m)[0] ?? '').matchAll(/^ {2}([a-z][\w-]*)/gm)].map(match => match[1] ?? '').filter(name => name !== 'help')

async function allHelp(launcher: string): Promise<{ words: readonly string[]; text: string }[]> {
  const text = await help(launcher, [])
  const deeper = async (words: readonly string[]): Promise<{ words: readonly string[]; text: string }[]> => {
    const own = await help(launcher, words)
    const below = await Promise.all(subcommandsOf(own).map(name => deeper([...words, name])))
    return [{ words, text: own }, ...below.flat()]
  }
  return [{ words: [], text }, ...(await Promise.all(subcommandsOf(text).map(name => deeper([name])))).flat()]
}

test('the command reference of the agent has the help of every command, word for word', async t => {
  const reference = textOf('agent/cli/COMMANDS.md')
  const commands = await allHelp('holdfast')
  t.true(commands.length > 10)
  const wrong: string[] = []
  for (const { words, text } of commands) {
    const command = ['holdfast', ...words].join(' ')
    // `holdfast key` only leads to its subcommands.
    if (subcommandsOf(text).length > 0 && words.length > 0) continue
    if (!reference.includes(`\`\`\`text\n$ ${command} --help\n${text.trimEnd()}\n\`\`\``)) wrong.push(command)
  }
  t.deepEqual(wrong, [], 'npm run reference')
})

for (const [launcher, folder] of [
  ['holdfast-appliance', 'appliance'],
  ['holdfast-keystore', 'keystore'],
] as const) {
  test(`every option of ${launcher} is in a document of its folder`, async t => {
    const documents = filesOf('.md', folder).map(textOf).join('\n')
    const wrong: string[] = []
    for (const { words, text } of await allHelp(launcher)) {
      for (const [option] of text.matchAll(/--[a-z][a-z-]+/g)) if (!documents.includes(option)) wrong.push([...words, option].join(' '))
      for (const name of subcommandsOf(text)) if (!documents.includes([...words, name].join(' '))) wrong.push([...words, name].join(' '))
    }
    t.deepEqual([...new Set(wrong)], [])
  })
}

test('every launcher that package.json names is there', t => {
  const { bin } = JSON.parse(textOf('package.json')) as { bin: Record<string, string> }
  for (const path of Object.values(bin)) t.true(existsSync(join(ROOT, path)), path)
})
