// Memory of large buffers lies outside the runtime's heap: it comes back when the collector happens to look, and so many
// megabytes of dead buffers lie about meanwhile, or call the collector far more often than the heap needs it.

/** Gives the memory that a buffer lies in back now. Neither the buffer nor any other view of that memory may be used any more. */
export function discard({ buffer }: Uint8Array): void {
  // Short buffers share the pool of the runtime, which is a little longer than it says, with others.
  if (buffer.byteLength >= 2 * Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0)
}
