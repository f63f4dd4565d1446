// A worker that stops where it would end, so that a test can look into its memory; a signal lets it go on.
import { WORKER_FD } from '#worker/channel.ts'
import { runRestoreWorker } from '#worker/worker.ts'

const code = await runRestoreWorker(WORKER_FD)
process.kill(process.pid, 'SIGSTOP')
process.exit(code)
