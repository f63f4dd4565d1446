// The runtime reads TLS through a buffer of 16 KiB on its stack, and leaves there what it read until something as long is
// read or called. Nothing in JavaScript names that memory, but arguments lie on the same stack: a call with enough of them
// covers it. test/keystore/client/memory.test.ts sees whether that is still so.

/** Eight bytes each: 128 KiB, well below where the buffer can be. */
const NOTHINGS: readonly number[] = Array.from({ length: 16_384 }, () => 0)
const takeThem = (): void => {}

/**
 * Overwrites the stack below whoever calls this.
 *
 * Called in the turn in which something was read it would leave the buffer as it is, because the buffer is above it then:
 * from setImmediate() it is below.
 */
export function overwriteStack(): void {
  Reflect.apply(takeThem, undefined, NOTHINGS)
}
