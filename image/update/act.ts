// What root does for the appliance, as the machine service offers it: one act a request. An act checks its own request,
// because what comes in was only forwarded; what it answers and says on the way is JSON.
import { fault } from '#protocol/errors.ts'
import { Check, type Static, type TSchema } from '#protocol/typebox.js'

/** Tells whoever asked how far it is. */
export type Say = (progress: object) => void

/**
 * @param request  as it came, not checked yet
 * @returns        what becomes `{done: …}`
 * @throws a Fault, which becomes `{fault: …}`
 */
export type Act = (request: unknown, say: Say) => Promise<object>

/** An act whose request has this shape; any other is refused with REQUEST_INVALID before anything is done. */
export function actOf<Schema extends TSchema>(schema: Schema, run: (request: Static<Schema>, say: Say) => Promise<object>): Act {
  return async (request, say) => {
    if (!Check(schema, request)) throw fault('REQUEST_INVALID', { found: 'a request of another shape' })
    return run(request as Static<Schema>, say)
  }
}
