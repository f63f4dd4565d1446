// npm run reference: writes into agent/cli/COMMANDS.md what the commands say of themselves: each `$ holdfast … --help`
// block, and the table of the agent's own errors. test/laws fails while the document says something else.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorRow } from '#protocol/fault.ts'

const ROOT = join(import.meta.dirname, '..')
const DOCUMENT = join(ROOT, 'agent/cli/COMMANDS.md')
const ROOMS = ['cli', 'site', 'authorized-storage', 'backup', 'restore']

const help = (command: string): string =>
  execFileSync(join(ROOT, 'scripts', command.split(' ')[0] ?? ''), command.split(' ').slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

async function errorTable(): Promise<string> {
  const rows: string[] = []
  for (const room of ROOMS) {
    const tables: Record<string, unknown> = (await import(join(ROOT, 'agent', room, 'errors.ts'))) as Record<string, unknown>
    for (const [name, table] of Object.entries(tables)) {
      if (!name.endsWith('_ERRORS')) continue
      for (const [code, { exit, text, next }] of Object.entries(table as Record<string, ErrorRow>))
        rows.push(`| \`${code}\` | ${exit} | ${text}; ${next.replaceAll('|', '\\|')} |`)
    }
  }
  return `| code | exit | what is wrong, and what to do |\n|---|---|---|\n${rows.join('\n')}\n`
}

/** The document as it should be. */
async function written(document: string): Promise<string> {
  const table = await errorTable()
  return document
    .replace(/```text\n\$ (holdfast[^\n]*--help)\n[\s\S]*?```/g, (_, command: string) => `\`\`\`text\n$ ${command}\n${help(command).trimEnd()}\n\`\`\``)
    .replace(/<!-- errors -->\n[\s\S]*?<!-- end -->/, `<!-- errors -->\n${table}<!-- end -->`)
}

const before = readFileSync(DOCUMENT, 'utf8')
const after = await written(before)
if (process.argv.includes('--check')) {
  if (after !== before) {
    process.stderr.write('agent/cli/COMMANDS.md is not what the commands say: npm run reference\n')
    process.exitCode = 1
  }
} else writeFileSync(DOCUMENT, after)
