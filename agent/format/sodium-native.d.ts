// Types of sodium-native 5.1 (libsodium for Node), which ships none: only what this product uses.
// Import as `import sodium from 'sodium-native'`. Buffers are filled in place; a wrong length throws an AssertionError.
declare module 'sodium-native' {
  namespace sodium {
    /** Memory outside the JavaScript heap: locked, guarded, never in a core dump, zeroed when freed. */
    type SecureBuffer = Buffer<ArrayBuffer> & { readonly secure: true }
  }
  import SecureBuffer = sodium.SecureBuffer

  const sodium: {
    sodium_malloc(bytes: number): SecureBuffer
    /** Zeroes and frees; any later use of the buffer throws or reads nothing. */
    sodium_free(buffer: SecureBuffer): void
    sodium_memzero(buffer: ArrayBufferView): void
    sodium_mlock(buffer: ArrayBufferView): void
    sodium_munlock(buffer: ArrayBufferView): void
    /** Any touch of the buffer kills the process until it is readable again. */
    sodium_mprotect_noaccess(buffer: SecureBuffer): void
    sodium_mprotect_readonly(buffer: SecureBuffer): void
    sodium_mprotect_readwrite(buffer: SecureBuffer): void
    /** Constant time; the lengths must be equal. */
    sodium_memcmp(a: ArrayBufferView, b: ArrayBufferView): boolean
    sodium_is_zero(buffer: ArrayBufferView, bytes?: number): boolean

    randombytes_buf(target: ArrayBufferView): void
    randombytes_buf_deterministic(target: ArrayBufferView, seed: ArrayBufferView): void
    randombytes_random(): number
    randombytes_uniform(upper: number): number
    readonly randombytes_SEEDBYTES: number

    /** BLAKE2b; output 16 to 64 bytes, key none or 16 to 64 bytes. */
    crypto_generichash(output: ArrayBufferView, input: ArrayBufferView, key?: ArrayBufferView): void
    crypto_generichash_batch(output: ArrayBufferView, inputs: readonly ArrayBufferView[], key?: ArrayBufferView): void
    crypto_generichash_keygen(key: ArrayBufferView): void
    crypto_generichash_init(state: ArrayBufferView, key: ArrayBufferView | null, outputBytes: number): void
    crypto_generichash_update(state: ArrayBufferView, input: ArrayBufferView): void
    crypto_generichash_final(state: ArrayBufferView, output: ArrayBufferView): void
    readonly crypto_generichash_STATEBYTES: number
    readonly crypto_generichash_BYTES: number
    readonly crypto_generichash_KEYBYTES: number

    crypto_hash_sha256(output: ArrayBufferView, input: ArrayBufferView): void
    readonly crypto_hash_sha256_BYTES: number

    /** SipHash-2-4; output 8 bytes, key 16 bytes. */
    crypto_shorthash(output: ArrayBufferView, input: ArrayBufferView, key: ArrayBufferView): void
    readonly crypto_shorthash_BYTES: number
    readonly crypto_shorthash_KEYBYTES: number

    crypto_kdf_keygen(key: ArrayBufferView): void
    crypto_kdf_derive_from_key(subkey: ArrayBufferView, subkeyId: number, context: ArrayBufferView, key: ArrayBufferView): void
    readonly crypto_kdf_KEYBYTES: number
    readonly crypto_kdf_CONTEXTBYTES: number

    /** HMAC-SHA-512-256. */
    crypto_auth(output: ArrayBufferView, input: ArrayBufferView, key: ArrayBufferView): void
    crypto_auth_verify(mac: ArrayBufferView, input: ArrayBufferView, key: ArrayBufferView): boolean
    readonly crypto_auth_BYTES: number
    readonly crypto_auth_KEYBYTES: number

    /** XSalsa20-Poly1305: ciphertext is MACBYTES longer than the message. */
    crypto_secretbox_easy(ciphertext: ArrayBufferView, message: ArrayBufferView, nonce: ArrayBufferView, key: ArrayBufferView): void
    /** False if the ciphertext was not made with this key and nonce. */
    crypto_secretbox_open_easy(message: ArrayBufferView, ciphertext: ArrayBufferView, nonce: ArrayBufferView, key: ArrayBufferView): boolean
    readonly crypto_secretbox_KEYBYTES: number
    readonly crypto_secretbox_NONCEBYTES: number
    readonly crypto_secretbox_MACBYTES: number

    /** Returns how many bytes were written. */
    crypto_aead_xchacha20poly1305_ietf_encrypt(
      ciphertext: ArrayBufferView,
      message: ArrayBufferView,
      associated: ArrayBufferView | null,
      secretNonce: null,
      nonce: ArrayBufferView,
      key: ArrayBufferView,
    ): number
    /** Returns how many bytes were written; throws if the ciphertext was altered. */
    crypto_aead_xchacha20poly1305_ietf_decrypt(
      message: ArrayBufferView,
      secretNonce: null,
      ciphertext: ArrayBufferView,
      associated: ArrayBufferView | null,
      nonce: ArrayBufferView,
      key: ArrayBufferView,
    ): number
    crypto_aead_xchacha20poly1305_ietf_keygen(key: ArrayBufferView): void
    readonly crypto_aead_xchacha20poly1305_ietf_ABYTES: number
    readonly crypto_aead_xchacha20poly1305_ietf_KEYBYTES: number
    readonly crypto_aead_xchacha20poly1305_ietf_NPUBBYTES: number

    crypto_box_keypair(publicKey: ArrayBufferView, secretKey: ArrayBufferView): void
    crypto_box_seal(ciphertext: ArrayBufferView, message: ArrayBufferView, publicKey: ArrayBufferView): void
    crypto_box_seal_open(message: ArrayBufferView, ciphertext: ArrayBufferView, publicKey: ArrayBufferView, secretKey: ArrayBufferView): boolean
    readonly crypto_box_PUBLICKEYBYTES: number
    readonly crypto_box_SECRETKEYBYTES: number
    readonly crypto_box_SEALBYTES: number

    /** Argon2 into a key of any length; `salt` is SALTBYTES long. The passwords of the async forms must not be empty. */
    crypto_pwhash(output: ArrayBufferView, password: ArrayBufferView, salt: ArrayBufferView, opslimit: number, memlimit_bytes: number, algorithm: number): void
    crypto_pwhash_async(
      output: ArrayBufferView,
      password: ArrayBufferView,
      salt: ArrayBufferView,
      opslimit: number,
      memlimit_bytes: number,
      algorithm: number,
    ): Promise<void>
    /** Argon2id into a self-describing string, zero-padded to STRBYTES. */
    crypto_pwhash_str(output: ArrayBufferView, password: ArrayBufferView, opslimit: number, memlimit_bytes: number): void
    crypto_pwhash_str_async(output: ArrayBufferView, password: ArrayBufferView, opslimit: number, memlimit_bytes: number): Promise<void>
    crypto_pwhash_str_verify(hash: ArrayBufferView, password: ArrayBufferView): boolean
    crypto_pwhash_str_verify_async(hash: ArrayBufferView, password: ArrayBufferView): Promise<boolean>
    crypto_pwhash_str_needs_rehash(hash: ArrayBufferView, opslimit: number, memlimit_bytes: number): boolean
    readonly crypto_pwhash_ALG_ARGON2ID13: number
    readonly crypto_pwhash_BYTES_MIN: number
    readonly crypto_pwhash_SALTBYTES: number
    readonly crypto_pwhash_STRBYTES: number
    readonly crypto_pwhash_OPSLIMIT_MIN: number
    readonly crypto_pwhash_MEMLIMIT_MIN: number
    readonly crypto_pwhash_OPSLIMIT_INTERACTIVE: number
    readonly crypto_pwhash_MEMLIMIT_INTERACTIVE: number
    readonly crypto_pwhash_OPSLIMIT_MODERATE: number
    readonly crypto_pwhash_MEMLIMIT_MODERATE: number
    readonly crypto_pwhash_OPSLIMIT_SENSITIVE: number
    readonly crypto_pwhash_MEMLIMIT_SENSITIVE: number
  }
  export = sodium
}
