// Bech32 (BIP 173), as age writes its keys: letters that are hard to confuse, and a checksum that finds every slip of four.
const DIGITS = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const CHECKSUM_DIGITS = 6

/** Bytes in lower case. */
export function toBech32(prefix: string, bytes: Uint8Array): string {
  const values = regroup(bytes, 8, 5, true) ?? []
  const sum = polymod([...expanded(prefix), ...values, ...Array.from({ length: CHECKSUM_DIGITS }, () => 0)]) ^ 1
  const checksum = Array.from({ length: CHECKSUM_DIGITS }, (_, at) => (sum >> (5 * (CHECKSUM_DIGITS - 1 - at))) & 31)
  return `${prefix}1${[...values, ...checksum].map(value => DIGITS[value]).join('')}`
}

/** The bytes; undefined if the prefix or the checksum is another. */
export function fromBech32(prefix: string, text: string): Buffer | undefined {
  const lower = text.toLowerCase()
  if ((lower !== text && text.toUpperCase() !== text) || !lower.startsWith(`${prefix}1`)) return undefined
  const values = Array.from(lower.slice(prefix.length + 1), digit => DIGITS.indexOf(digit))
  if (values.length < CHECKSUM_DIGITS || values.includes(-1) || polymod([...expanded(prefix), ...values]) !== 1) return undefined
  const bytes = regroup(values.slice(0, -CHECKSUM_DIGITS), 5, 8, false)
  return bytes && Buffer.from(bytes)
}

const expanded = (prefix: string): number[] => {
  const codes = Array.from(prefix, letter => letter.charCodeAt(0))
  return [...codes.map(code => code >> 5), 0, ...codes.map(code => code & 31)]
}

function polymod(values: readonly number[]): number {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, term] of GENERATOR.entries()) if ((top >> bit) & 1) sum ^= term
  }
  return sum >>> 0
}

/** Undefined if what is left over is no padding. */
function regroup(values: Iterable<number>, from: number, to: number, isPadded: boolean): number[] | undefined {
  const regrouped: number[] = []
  let [held, bits] = [0, 0]
  for (const value of values) {
    held = ((held << from) | value) & 0xfff
    bits += from
    while (bits >= to) {
      bits -= to
      regrouped.push((held >> bits) & ((1 << to) - 1))
    }
  }
  const rest = held & ((1 << bits) - 1)
  if (isPadded && bits > 0) regrouped.push((held << (to - bits)) & ((1 << to) - 1))
  return isPadded || (bits < from && rest === 0) ? regrouped : undefined
}
