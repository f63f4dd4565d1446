// The process of a restore worker. start-worker.ts starts it; by hand it is of no use.
import { runRestoreWorker } from './worker.ts'

process.exit(await runRestoreWorker())
