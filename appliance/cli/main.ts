// The appliance's command. Only the command that was named is loaded.
import { argv } from 'node:process'
import { Command, CommanderError } from 'commander'
import { fault } from '#cli/errors.ts'
import { createFrame, endWith, type Frame } from '#cli/frame.ts'
import { EXIT } from '#protocol/fault.ts'
import package_ from '../../package.json' with { type: 'json' }

type Register = (program: Command, frame: Frame) => void

/** In the order of --help. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  init: async () => (await import('./init.ts')).registerInit,
  run: async () => (await import('./run.ts')).registerRun,
  user: async () => (await import('./people.ts')).registerUser,
  tenant: async () => (await import('./people.ts')).registerTenant,
  link: async () => (await import('./people.ts')).registerLink,
  device: async () => (await import('./devices.ts')).registerDevice,
  administrator: async () => (await import('./administrators.ts')).registerAdministrator,
  restore: async () => (await import('./restore.ts')).registerRestore,
  escrow: async () => (await import('./escrow.ts')).registerEscrow,
  status: async () => (await import('./devices.ts')).registerStatus,
  reindex: async () => (await import('./devices.ts')).registerReindex,
  audit: async () => (await import('./devices.ts')).registerAudit,
}

const program = new Command('holdfast-appliance')
const frame = createFrame(program, package_.version)
program
  .description('A backup appliance: keeps the archives of paired devices, and cannot read them.')
  .version(package_.version, '-V, --version', 'print the version')
  .option('--home <dir>', 'the state directory of this appliance (or HOLDFAST_HOME)')
  .option('--json', 'one JSON object on stdout')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: () => {} })
  .showSuggestionAfterError(true)
  .exitOverride()

try {
  const words = argv.slice(2)
  const name = words.find((word, at) => !word.startsWith('-') && words[at - 1] !== '--home')
  const named = name === undefined ? undefined : COMMANDS[name]
  for (const load of named ? [named] : Object.values(COMMANDS)) (await load())(program, frame)
  const inherit = (command: Command): void => {
    for (const child of command.commands) {
      child.copyInheritedSettings(command)
      inherit(child)
    }
  }
  inherit(program)
  await program.parseAsync(argv)
} catch (error) {
  frame.progress.clear()
  if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help')) process.exitCode = error.exitCode && EXIT.usage
  else if (error instanceof CommanderError)
    process.exitCode = endWith(
      fault('USAGE_WRONG', {
        found: error.message
          .replace(/^error: /, '')
          .replace(/\s+/g, ' ')
          .trim(),
      }),
    )
  else process.exitCode = endWith(error)
}
