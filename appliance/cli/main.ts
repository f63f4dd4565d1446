// The appliance's command.
import { runProgram } from '#cli/run-program.ts'

await runProgram({
  name: 'holdfast-appliance',
  description: 'A backup appliance: keeps the archives of paired devices, and cannot read them.',
  home: 'the state directory of this appliance (or HOLDFAST_HOME)',
  commands: {
    init: async () => (await import('./init.ts')).registerInit,
    connect: async () => (await import('./connect.ts')).registerConnect,
    run: async () => (await import('./run.ts')).registerRun,
    user: async () => (await import('./people.ts')).registerUser,
    tenant: async () => (await import('./people.ts')).registerTenant,
    link: async () => (await import('./people.ts')).registerLink,
    device: async () => (await import('./devices.ts')).registerDevice,
    archive: async () => (await import('./archive.ts')).registerArchive,
    administrator: async () => (await import('./administrators.ts')).registerAdministrator,
    restore: async () => (await import('./restore.ts')).registerRestore,
    escrow: async () => (await import('./escrow.ts')).registerEscrow,
    slots: async () => (await import('./slots.ts')).registerSlots,
    alarm: async () => (await import('./alarms.ts')).registerAlarm,
    machine: async () => (await import('./machine.ts')).registerMachine,
    status: async () => (await import('./devices.ts')).registerStatus,
    reindex: async () => (await import('./devices.ts')).registerReindex,
    audit: async () => (await import('./devices.ts')).registerAudit,
  },
  more: program =>
    void program.option(
      '--admin-password-file <file>',
      'read your password from the first line of a file, or of standard input (-), for an appliance elsewhere',
    ),
})
