// The machine's settings as they are kept: each as it was given, beside what the system's own services read of it. They
// find it by links in /run (tmpfiles.d/holdfast-setup.conf), because /etc is read-only. Nothing here is secret.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from './durable-file.ts'
import { checkNetwork, NETWORK_DEFAULT, type Network, networkUnit } from './network.ts'
import type { Places } from './places.ts'
import { checkTime, TIME_DEFAULT, type Time, timeUnit, zoneFile } from './time.ts'

const READABLE = 0o644
const ETHERNET = '1'

/** Durable when it returns; in force once holdfast-settings.service has been started. */
export function storeNetwork(places: Places, network: Network): void {
  writeDurably(places.networkUnit, networkUnit(network, wiredInterfaces(places)), READABLE)
  writeDurably(places.network, JSON.stringify(network), READABLE)
}

/** As storeNetwork. */
export function storeTime(places: Places, time: Time): void {
  writeDurably(places.timeUnit, timeUnit(time), READABLE)
  writeDurably(places.zone, zoneFile(time), READABLE)
  writeDurably(places.time, JSON.stringify(time), READABLE)
}

/** @throws NETWORK_INVALID if what is kept was altered */
export const keptNetwork = (places: Places): Network =>
  existsSync(places.network) ? checkNetwork(JSON.parse(readFileSync(places.network, 'utf8'))) : NETWORK_DEFAULT

/** @throws TIME_INVALID if what is kept was altered */
export const keptTime = (places: Places): Time => (existsSync(places.time) ? checkTime(JSON.parse(readFileSync(places.time, 'utf8'))) : TIME_DEFAULT)

/** By name: Ethernet with a device behind it, and not by radio. */
export function wiredInterfaces(places: Places): string[] {
  const of = (name: string, what: string): string => join(places.interfaces, name, what)
  return readdirSync(places.interfaces)
    .filter(name => existsSync(of(name, 'device')) && !existsSync(of(name, 'phy80211')) && readFileSync(of(name, 'type'), 'utf8').trim() === ETHERNET)
    .sort()
}
