// npm run reference: writes into the command references what the commands say of themselves: each `$ holdfast… --help`
// block, and the table of the rooms' own errors. test/laws fails while a document says something else.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorRow } from '#protocol/fault.ts'

const ROOT = join(import.meta.dirname, '..')
/** Which errors.ts files each document explains; of those, these tables only. */
const DOCUMENTS: readonly { file: string; rooms: readonly string[]; tables?: readonly string[] }[] = [
  { file: 'agent/cli/COMMANDS.md', rooms: ['agent/cli', 'agent/site', 'agent/authorized-storage', 'agent/backup', 'agent/restore'] },
  {
    file: 'appliance/cli/COMMANDS.md',
    rooms: ['appliance/protocol', 'appliance/authority', 'appliance/storage', 'appliance/archive', 'appliance/cli'],
    tables: ['LISTENING_ERRORS', 'AUTHORITY_ERRORS', 'STORAGE_ERRORS', 'ARCHIVE_ERRORS', 'APPLIANCE_CLI_ERRORS'],
  },
  { file: 'keystore/KEYSTORE.md', rooms: ['keystore/seal', 'keystore/client', 'keystore/provision'] },
  { file: 'keystore/server/KEYSTORE-server.md', rooms: ['keystore/server'] },
]

const help = (command: string): string =>
  execFileSync(join(ROOT, 'scripts', command.split(' ')[0] ?? ''), command.split(' ').slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

async function errorTable(rooms: readonly string[], wanted: readonly string[] | undefined): Promise<string> {
  const rows: string[] = []
  for (const room of rooms) {
    const tables: Record<string, unknown> = (await import(join(ROOT, room, 'errors.ts'))) as Record<string, unknown>
    for (const [name, table] of Object.entries(tables)) {
      if (!name.endsWith('_ERRORS') || (wanted && !wanted.includes(name))) continue
      for (const [code, { exit, text, next }] of Object.entries(table as Record<string, ErrorRow>))
        rows.push(`| \`${code}\` | ${exit} | ${text}; ${next.replaceAll('|', '\\|')} |`)
    }
  }
  return `| code | exit | what is wrong, and what to do |\n|---|---|---|\n${rows.join('\n')}\n`
}

/** The document as it should be. */
function written(document: string, table: string): string {
  return document
    .replace(/```text\n\$ (holdfast[^\n]*--help)\n[\s\S]*?```/g, (_, command: string) => `\`\`\`text\n$ ${command}\n${help(command).trimEnd()}\n\`\`\``)
    .replace(/<!-- errors -->\n[\s\S]*?<!-- end -->/, `<!-- errors -->\n${table}<!-- end -->`)
}

for (const { file, rooms, tables } of DOCUMENTS) {
  const before = readFileSync(join(ROOT, file), 'utf8')
  const after = written(before, await errorTable(rooms, tables))
  if (process.argv.includes('--check')) {
    if (after !== before) {
      process.stderr.write(`${file} is not what the commands say: npm run reference\n`)
      process.exitCode = 1
    }
  } else writeFileSync(join(ROOT, file), after)
}
