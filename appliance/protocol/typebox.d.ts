// The types of typebox.js, which scripts/bundle-schemas.ts makes when the checkout is set up.
export { default as Type, type Static, type TSchema } from 'typebox'
export { Check } from 'typebox/schema'
