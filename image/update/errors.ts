// The errors of updates.
import { type ErrorRow, EXIT, faults } from '#protocol/fault.ts'

export const UPDATE_ERRORS = {
  UPDATE_NOT_SIGNED: {
    status: 403,
    exit: EXIT.forbidden,
    text: 'the manifest does not bear the signature of the maker of this appliance',
    next: 'use a release as it was published; nothing was written',
  },
  UPDATE_INVALID: {
    status: 400,
    exit: EXIT.failed,
    text: 'this is not a release, or one that was built wrongly',
    next: 'get the release again; nothing was written',
  },
  UPDATE_OTHER_PRODUCT: { status: 409, exit: EXIT.failed, text: 'the release is for another product or machine', next: 'use the one for this appliance' },
  UPDATE_NOT_NEWER: {
    status: 409,
    exit: EXIT.failed,
    text: 'the release is not newer than what this appliance runs or has run',
    next: 'nothing, if this version is the one that is wanted; an older one is never taken',
  },
  UPDATE_TOO_LARGE: {
    status: 409,
    exit: EXIT.failed,
    text: 'the release does not fit into the slots of this disk',
    next: 'install it anew from its image, and import the archives',
  },
  UPDATE_DAMAGED: {
    status: 400,
    exit: EXIT.damaged,
    text: 'the release broke off, or is not what its manifest says',
    next: 'send it again; nothing changed for the release that runs',
  },
  UPDATE_ON_TRIAL: {
    status: 409,
    exit: EXIT.failed,
    text: 'the release that runs is on trial itself',
    next: 'try again when it is kept, some minutes after it started',
  },
  UPDATE_BUSY: { status: 409, exit: EXIT.failed, text: 'another update is under way', next: 'wait until it has ended' },
  UPDATE_NONE: { status: 404, exit: EXIT.failed, text: 'there is no release there', next: 'put holdfast_N.update on it, not in a folder of it' },
  SLOTS_UNKNOWN: {
    status: 500,
    exit: EXIT.damaged,
    text: 'the disk does not have the slots of an appliance',
    next: 'look at the disk, or install the appliance anew; nothing was written',
  },
  SLOT_UNWRITABLE: {
    status: 500,
    exit: EXIT.damaged,
    text: 'the disk does not keep what is written',
    next: 'replace the disk soon; the release that runs goes on',
  },
  NOT_HEALTHY: { exit: EXIT.failed, text: 'the appliance does not do its work', next: 'look into the log of the service' },
} as const satisfies Record<string, ErrorRow>

/** Makes a fault of updates. */
export const fault = faults(UPDATE_ERRORS)
