// How a storage node's process is to be started, so that its memory stays small: whoever starts it passes the flags to
// Node before the path of main.ts, and adds the environment to its own.
import { join } from 'node:path'

/**
 * A small heap: what is large (uploads, reads, the index) lies outside it and has limits of its own. gc: short-lived-memory.ts.
 * Memory outside the heap calls the collector often, and there is little in the heap: marking it in steps, with helper
 * threads, costs twice the processor time of doing it at once, and code that is thrown away meanwhile is compiled again.
 */
export const STORAGE_NODE_FLAGS: readonly string[] = [
  '--max-old-space-size=96',
  '--max-semi-space-size=2',
  '--expose-gc',
  '--no-incremental-marking',
  '--single-threaded-gc',
  '--no-flush-bytecode',
]

/**
 * The environment: few arenas of the C library, because threads come and go and what they freed should be used again; and
 * a cache of compiled modules, because a process that has to strip types itself needs 30 MB more for as long as it lives.
 *
 * @param home  the appliance's
 */
export const storageNodeEnvironment = (home: string): Readonly<Record<string, string>> => ({
  MALLOC_ARENA_MAX: '2',
  NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? join(home, 'storage', 'compiled'),
})
