// PADMÉ padding (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PoPETs 2019): a length keeps as many
// significant bits as the number of bits of its exponent, so that few lengths exist, at a cost of at most 12 %.

/**
 * The padded length, in bytes, for a length of 2 or more (shorter ones stay as they are).
 *
 * @param bytes  0 to 2^31 - 1
 */
export function padmeBytes(bytes: number): number {
  if (bytes < 2) return bytes
  const exponent = 31 - Math.clz32(bytes)
  const kept = 32 - Math.clz32(exponent)
  const mask = 2 ** Math.max(exponent - kept, 0) - 1
  return (bytes + mask) & ~mask
}
