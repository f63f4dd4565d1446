// The process of a restore worker, with its socket as fd 3, or as the fd that is named. start-worker.ts starts it, or a
// service manager for each connection; by hand it is of no use.
import { WORKER_FD } from './channel.ts'
import { runRestoreWorker } from './worker.ts'

process.exit(await runRestoreWorker(Number(process.argv[2] ?? WORKER_FD)))
