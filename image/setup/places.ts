// Where set-up finds and leaves things, under the root of the file system (`/`; tests take another).
import { join } from 'node:path'

/** In a draft, and in the site's home: the recovery key, sealed to the keystore's operators. */
export const SEALED_RECOVERY_KEY = 'recovery-key.age'

/** Network settings, on a USB stick. */
export const STICK_FILE = 'holdfast-network.json'

export type Places = ReturnType<typeof placesUnder>

export function placesUnder(root: string) {
  const home = join(root, 'var/lib/holdfast')
  return {
    /** The site's home, where config.json comes last. */
    home,
    config: join(home, 'config.json'),
    /** Where the authority answers its owner: adminSocketOf(home). */
    adminSocket: join(home, 'authority/admin.sock'),
    /** How the authority reaches its keystore: connectionFileOf(home). */
    connection: join(home, 'authority/keystore.json'),
    /** What everybody on the machine may know of the site. */
    siteFacts: join(home, 'site.json'),
    sealedRecoveryKey: join(home, SEALED_RECOVERY_KEY),
    /** The machine's settings, and what systemd-networkd, systemd-timesyncd, the firewall and our programs read of them. */
    network: join(home, 'network/network.json'),
    networkUnit: join(home, 'network/10-holdfast.network'),
    time: join(home, 'network/time.json'),
    timeUnit: join(home, 'network/timesyncd.conf'),
    zone: join(home, 'network/time.env'),
    keystoreRules: join(home, 'network/keystore.nft'),
    /** A draft that the finishing step has taken; nobody but root looks into it. */
    taken: join(home, 'taken-draft'),
    /** The whole site as the set-up server prepares it. */
    draft: join(root, 'var/lib/holdfast-setup/site'),
    /** One connection to it finishes. */
    door: join(root, 'run/holdfast-setup/finish.sock'),
    /** What the status screen shows while set-up runs. */
    shown: join(root, 'run/holdfast-setup/shown.json'),
    recoveryKey: join(root, 'run/holdfast/recovery-key'),
    isTimeKnown: join(root, 'run/systemd/timesync/synchronized'),
    attention: join(root, 'run/holdfast/attention.json'),
    /** Words that only who stands at the machine may read. */
    console: join(root, 'run/holdfast/console.json'),
    /** What was typed at the machine; STICK_FILE, so that it is read as from a stick. */
    typedNetwork: join(root, 'run/holdfast-screen', STICK_FILE),
    stickAttention: join(root, 'run/holdfast/attention.d/network.json'),
    siteHealth: join(root, 'run/holdfast-site/health.json'),
    release: join(root, 'usr/lib/holdfast/release.json'),
    users: join(root, 'etc/passwd'),
    interfaces: join(root, 'sys/class/net'),
  }
}
