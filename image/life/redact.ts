// Takes out of a text whatever looks like a secret. A support bundle has no file with keys to begin with; this is for what
// a program may have written into the log.
const TAKEN_OUT = '[taken out]'

const SECRETS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  // Pairing links: the code in them.
  /(?<=holdfast:\/\/\S*[?&]code=)[^&\s"']+/g,
  // JSON Web Tokens; tokens of OpenBao and Vault.
  /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g,
  /\b(hv|ba)?[sbr]\.[A-Za-z0-9_-]{20,}/g,
  // The recovery key of the state.
  /\b[cbdefghijklnrtuv]{8}(-[cbdefghijklnrtuv]{8}){3,}/g,
  /((?:password|passphrase|passwd|secret|token|recovery[_ -]?key|private[_ -]?key|authorization)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|\S+)/gi,
  // Keys in base64 or hex: archive ids (32 hex digits) stay.
  /\b[0-9a-f]{48,}\b/gi,
  /(?<![\w+/-])(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])(?=[\w+/-]*\d)[A-Za-z0-9+/_-]{40,}={0,2}/g,
]

/** @returns the text without what looks like a secret */
export const redact = (text: string): string =>
  SECRETS.reduce(
    (rest, pattern) =>
      rest.replaceAll(pattern, (...found: unknown[]) => (typeof found[1] === 'string' && /[:=]\s*$/.test(found[1]) ? found[1] : '') + TAKEN_OUT),
    text,
  )
