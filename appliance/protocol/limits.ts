// Every limit that both sides of a connection must agree on, each named once.
// Units are last in each name. test/laws asserts them against one another.

/** The sealed part of one record, in bytes (checked before anything is allocated). */
export const SEALED_BYTES_MAX = 16 * 1024 * 1024
/** The clear part of one record, in bytes: 131,072 ids of a page or snapshot. */
export const CLEAR_BYTES_MAX = 4 * 1024 * 1024
/** A segment is sealed with a footer once it is at least this long, in bytes. */
export const SEGMENT_BYTES_SEAL = 64 * 1024 * 1024

/** Uncompressed content of one block, in bytes. */
export const BLOCK_BYTES_MAX = 4 * 1024 * 1024
/** Files shorter than this run together into shared blocks; others are cut alone. */
export const SMALL_FILE_BYTES = 1024 * 1024
/** Entries of one page. */
export const PAGE_ENTRIES_MIN = 256
export const PAGE_ENTRIES_MAX = 8192
/** Bytes of one path. */
export const PATH_BYTES_MAX = 4096

/** Ids in one `missing` request. */
export const MISSING_IDS_MAX = 65_536
/** Ids in one `read` request. */
export const READ_IDS_MAX = 4_096
/** Body of one `records` request, in bytes; the agent aims at UPLOAD_BYTES_AIM. */
export const UPLOAD_BYTES_MAX = 40 * 1024 * 1024
export const UPLOAD_BYTES_AIM = 8 * 1024 * 1024
/** Body of one JSON request or answer, in bytes. */
export const JSON_BYTES_MAX = 1024 * 1024

/** How long a ticket is good for. */
export const TICKET_MS = 5 * 60_000
/** Tolerated difference between the authority's and the storage node's clocks. */
export const CLOCK_SKEW_MS = 30_000
/** A pairing link expires after this. */
export const LINK_MS = 24 * 3_600_000
/** Wrong passwords that one pairing link bears. */
export const LINK_PASSWORD_TRIES_MAX = 10
/** A session nobody used for so long may be taken over. */
export const SESSION_IDLE_MS = 5 * 60_000
/** Device certificates are valid for so long. */
export const DEVICE_CERTIFICATE_MS = 397 * 24 * 3_600_000
/** Certificates are valid from so long before they were made (clocks of endpoints differ). */
export const CERTIFICATE_BACKDATE_MS = 24 * 3_600_000
/** Blocks that one page may need: a longer file goes on in the next page. */
export const PAGE_BLOCKS_MAX = 65_536
/** Pages that one snapshot may have (what fits into its clear part). */
export const SNAPSHOT_PAGES_MAX = 131_070
/** A sealed user key: at most 4,096 epochs of 36 bytes, and what stands around them. */
export const SEALED_KEY_BYTES_MAX = 160 * 1024
/** For so long after its pairing a device may fetch the key of its user, without another sign-in. */
export const KEY_GRANT_MS = 7 * 24 * 3_600_000
/** How often it may. */
export const KEY_GRANT_TRIES_MAX = 10
/** A device that waits for a pushed restore is answered after so long at the latest. */
export const PUSH_WAIT_MS = 25_000
/** A pushed restore may go on for so long after its target had the key. */
export const PUSH_MS = 24 * 3_600_000
