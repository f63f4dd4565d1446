// The keystore's command.
import { runProgram } from '#cli/run-program.ts'

await runProgram({
  name: 'holdfast-keystore',
  description: "The keystore's side of Holdfast: sets a Vault-compatible server up for an appliance, and looks after it.",
  home: 'the directory of this keystore or site (or HOLDFAST_HOME)',
  commands: {
    provision: async () => (await import('./provision.ts')).registerProvision,
    approver: async () => (await import('./approver.ts')).registerApprover,
    approve: async () => (await import('./approve.ts')).registerApprove,
    init: async () => (await import('./init.ts')).registerInit,
    unseal: async () => (await import('./unseal.ts')).registerUnseal,
    status: async () => (await import('./status.ts')).registerStatus,
    snapshot: async () => (await import('./snapshot.ts')).registerSnapshot,
    drill: async () => (await import('./drill.ts')).registerDrill,
    erase: async () => (await import('./erase.ts')).registerErase,
    'root-token': async () => (await import('./root-token.ts')).registerRootToken,
    duty: async () => (await import('./duty.ts')).registerDuty,
    reconcile: async () => (await import('./reconcile.ts')).registerReconcile,
    dev: async () => (await import('./dev.ts')).registerDev,
  },
})
