// What can go wrong while an image is built.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const BUILD_ERRORS = {
  HOST_PACKAGES_MISSING: { exit: EXIT.failed, text: 'this machine lacks packages that the build needs', next: 'install them as root, then build again' },
  MIRROR_UNKNOWN: {
    exit: EXIT.failed,
    text: "no Debian mirror was found in this machine's apt configuration",
    next: 'set HOLDFAST_DEBIAN_MIRROR to the address of one, for example the part before /dists',
  },
  MKOSI_OTHER: {
    exit: EXIT.failed,
    text: 'the mirror offers another mkosi than the one that was tried',
    next: 'try the image with the new one, then change the version and hash in image/build/mkosi.ts',
  },
  IMAGE_BUILD_FAILED: { exit: EXIT.failed, text: 'a step of the build failed', next: 'see its log' },
  ROOT_TOO_LARGE: { exit: EXIT.failed, text: 'the root is larger than it may be', next: 'leave out what is not needed (image/mkosi/mkosi.conf)' },
  BUILD_KEYS_DAMAGED: {
    exit: EXIT.failed,
    text: 'the folder of signing keys lacks a part',
    next: 'bring the missing file back from its copy; do not make new keys for machines that are in use',
  },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of the build. */
export const fault = faults(BUILD_ERRORS)
