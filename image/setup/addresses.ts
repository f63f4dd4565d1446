// Where this machine is reached now.
import { networkInterfaces } from 'node:os'

export type Address = { readonly address: string; readonly interface: string; readonly is_link_local: boolean }

/** Those of all interfaces but the loopback; the ones that only a direct cable reaches last. */
export function addressesOf(): Address[] {
  const all = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? []).filter(one => !one.internal).map(({ address }) => ({ address, interface: name, is_link_local: /^(169\.254\.|fe80:)/.test(address) })),
  )
  return all.sort((a, b) => Number(a.is_link_local) - Number(b.is_link_local) || Number(a.address.includes(':')) - Number(b.address.includes(':')))
}
