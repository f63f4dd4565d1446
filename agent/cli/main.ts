// The agent's command. Only the command that was named is loaded, so that it starts fast.
import { argv } from 'node:process'
import { Command, CommanderError } from 'commander'
import { EXIT } from '#protocol/fault.ts'
import package_ from '../../package.json' with { type: 'json' }
import { fault } from './errors.ts'
import { createFrame, endWith, type Frame } from './frame.ts'

type Register = (program: Command, frame: Frame) => void

/** In the order of --help. */
const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  pair: async () => (await import('./pair.ts')).registerPair,
  backup: async () => (await import('./backup.ts')).registerBackup,
  snapshots: async () => (await import('./snapshots.ts')).registerSnapshots,
  ls: async () => (await import('./ls.ts')).registerLs,
  find: async () => (await import('./find.ts')).registerFind,
  diff: async () => (await import('./diff.ts')).registerDiff,
  restore: async () => (await import('./restore.ts')).registerRestore,
  verify: async () => (await import('./verify.ts')).registerVerify,
  recover: async () => (await import('./recover.ts')).registerRecover,
  key: async () => (await import('./key.ts')).registerKey,
  status: async () => (await import('./status.ts')).registerStatus,
  unpair: async () => (await import('./unpair.ts')).registerUnpair,
}

const program = new Command('holdfast')
const frame = createFrame(program, package_.version)
program
  .description('Backs this device up to a Holdfast appliance, and restores it. Only this device can read what it stores.')
  .version(package_.version, '-V, --version', 'print the version')
  .option('--home <dir>', 'the state directory of this agent (or HOLDFAST_HOME)')
  .option('--json', 'one JSON object on stdout')
  .helpOption('-h, --help', 'print this help')
  .helpCommand('help [command]', 'print the help of a command')
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: () => {} })
  .showSuggestionAfterError(true)
  .addHelpText(
    'after',
    '\nExit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some files could not be read; 4 not permitted;\n5 unreachable, try again; 6 damaged data found; 130 interrupted.',
  )
  .exitOverride()

/** The command that the arguments name, before they are parsed; undefined loads all of them. */
function namedCommand(parameters: readonly string[]): (() => Promise<Register>) | undefined {
  for (let at = 0; at < parameters.length; at++) {
    const word = parameters[at] ?? ''
    if (word === '--home') at++
    else if (!word.startsWith('-')) return COMMANDS[word]
  }
  return undefined
}

try {
  const parameters = argv.slice(2)
  const named = namedCommand(parameters)
  const isVersionWanted = parameters.length === 1 && (parameters[0] === '--version' || parameters[0] === '-V')
  for (const load of named ? [named] : isVersionWanted ? [] : Object.values(COMMANDS)) (await load())(program, frame)
  // A command that was not understood says so in one line, as every error does.
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
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 || error.code === 'commander.help' ? error.exitCode && EXIT.usage : endWith(usageFault(error))
  else process.exitCode = endWith(error)
}

function usageFault(error: CommanderError): Error {
  return fault('USAGE_WRONG', {
    found: error.message
      .replace(/^error: /, '')
      .replace(/\s+/g, ' ')
      .trim(),
  })
}
