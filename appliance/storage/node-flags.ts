// How a storage node's process is to be started, so that its memory stays small: whoever starts it passes these to Node
// before the path of main.ts, and adds the environment to its own.

/** A small heap: what is large (uploads, reads, the index) lies outside it and has limits of its own. */
export const STORAGE_NODE_FLAGS: readonly string[] = ['--max-old-space-size=128', '--max-semi-space-size=4', '--disable-warning=ExperimentalWarning']
/** Few arenas of the C library: threads come and go with reads and writes, and what they freed should be used again. */
export const STORAGE_NODE_ENVIRONMENT: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' }
