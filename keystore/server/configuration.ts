// A node's configuration file: TLS 1.3 and client certificates only, raft, two audit files that are declared, so that nobody
// can turn them off, not even root. Why each line: KEYSTORE.md. Paths are relative to the node's folder, where it runs: raft
// wants the audit's paths alike on every node, and so each still has files of its own.

export type NodeSettings = {
  readonly id: string
  readonly port: number
  readonly cluster_port: number
  /** Addresses of the other nodes, which this one joins. */
  readonly peers: readonly string[]
  /** Whether a new root token can be made from shares alone, without a token (development only). */
  readonly makesRoot: boolean
}

export const HOST = '127.0.0.1'
/** Where a node answers. */
export const addressOf = (port: number): string => `https://${HOST}:${port}`

/** The files in a node's folder. */
export const FILES = {
  configuration: 'server.hcl',
  certificate: 'server.pem',
  key: 'server.key',
  ca: 'ca.pem',
  clients: 'clients.pem',
  log: 'server.log',
  data: 'data',
  audits: ['audit-a/audit.log', 'audit-b/audit.log'],
} as const

/** The text of the configuration file, in HCL. */
export function configurationOf({ id, port, cluster_port, peers, makesRoot }: NodeSettings): string {
  const join = (peer: string): string => `
  retry_join {
    leader_api_addr = "${peer}"
    leader_ca_cert_file = "${FILES.ca}"
    leader_client_cert_file = "${FILES.certificate}"
    leader_client_key_file = "${FILES.key}"
  }`
  const audit = (file: string, at: number): string => `
audit "file" "file-${'ab'[at]}" {
  description = "${'ab'[at]}"
  options {
    file_path = "${file}"
    mode = "0600"
  }
}`
  return `cluster_name = "keystore"
api_addr = "${addressOf(port)}"
cluster_addr = "${addressOf(cluster_port)}"
ui = false
disable_standby_reads = true
storage "raft" {
  path = "${FILES.data}"
  node_id = "${id}"
  performance_multiplier = 1${peers.map(join).join('')}
}
listener "tcp" {
  address = "${HOST}:${port}"
  cluster_address = "${HOST}:${cluster_port}"
  tls_cert_file = "${FILES.certificate}"
  tls_key_file = "${FILES.key}"
  tls_client_ca_file = "${FILES.clients}"
  tls_require_and_verify_client_cert = true
  tls_min_version = "tls13"${makesRoot ? '\n  disable_unauthed_generate_root_endpoints = false' : ''}
}${FILES.audits.map(audit).join('')}
`
}
