// The agent's command.
import { runProgram } from './run-program.ts'

await runProgram({
  name: 'holdfast',
  description: 'Backs this device up to a Holdfast appliance, and restores it. Only this device can read what it stores.',
  home: 'the state directory of this agent (or HOLDFAST_HOME)',
  commands: {
    pair: async () => (await import('./pair.ts')).registerPair,
    backup: async () => (await import('./backup.ts')).registerBackup,
    snapshots: async () => (await import('./snapshots.ts')).registerSnapshots,
    ls: async () => (await import('./ls.ts')).registerLs,
    find: async () => (await import('./find.ts')).registerFind,
    diff: async () => (await import('./diff.ts')).registerDiff,
    restore: async () => (await import('./restore.ts')).registerRestore,
    verify: async () => (await import('./verify.ts')).registerVerify,
    receive: async () => (await import('./receive.ts')).registerReceive,
    recover: async () => (await import('./recover.ts')).registerRecover,
    key: async () => (await import('./key.ts')).registerKey,
    status: async () => (await import('./status.ts')).registerStatus,
    unpair: async () => (await import('./unpair.ts')).registerUnpair,
  },
  after:
    '\nExit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but some files could not be read; 4 not permitted;\n5 unreachable, try again; 6 damaged data found; 130 interrupted.',
})
