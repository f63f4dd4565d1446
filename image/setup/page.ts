// The pages of set-up: plain HTML that needs no script, loads nothing, and can be read out and used by keyboard.
import { createHash } from 'node:crypto'
import type { Field, Form } from './form.ts'
import type { SiteFacts } from './machine-part.ts'
import { ZONES } from './time.ts'

const STYLE = `
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{max-width:44rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}
fieldset{border:1px solid #8888;border-radius:.4rem;margin:0 0 1.2rem;padding:.8rem 1rem}
fieldset fieldset{margin-top:1rem}
legend{font-weight:600;padding:0 .4rem}
label,.hint{display:block}
label{margin-top:.7rem;font-weight:500}
.hint{color:GrayText;font-size:.9rem}
.choice{display:inline;font-weight:400;margin-right:1rem}
input:not([type=radio]),select{font:inherit;padding:.35rem .5rem;width:100%;box-sizing:border-box}
input[aria-invalid=true]{outline:2px solid #c22}
[role=alert]{border-left:.4rem solid #c22;padding:.2rem 1rem;margin:0 0 1.2rem;background:#c221}
code.key{display:block;font-size:1.2rem;padding:.8rem;border:1px solid #8888;border-radius:.4rem;overflow-wrap:anywhere}
button{font:inherit;font-weight:600;padding:.5rem 1.4rem}
`
const styleHash = createHash('sha256').update(STYLE).digest('base64')

/** Of every answer. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
}

export type Trouble = { readonly text: string; readonly field?: Field | undefined }

const page = (title: string, body: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escaped(title)} - Holdfast</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>
${body}
</main></body></html>
`

const alert = (trouble: Trouble | undefined): string => {
  if (!trouble) return ''
  const text = escaped(trouble.text)
  return `<div role="alert"><p>${trouble.field ? `<a href="#${trouble.field}">${text}</a>` : text}</p></div>`
}

/** @param interfaces  the wired ones, by name */
export function formPage(interfaces: readonly string[], form: Form, trouble?: Trouble): string {
  const field = (name: Field, label: string, { type = 'text', hint = '', more = '' }: { type?: string; hint?: string; more?: string } = {}): string => {
    const value = type === 'password' || type === 'file' ? '' : ` value="${escaped(form[name])}"`
    const isWrong = trouble?.field === name ? ' aria-invalid="true"' : ''
    const described = hint === '' ? '' : ` aria-describedby="${name}-hint"`
    return `<label for="${name}">${label}</label>${hint === '' ? '' : `<span class="hint" id="${name}-hint">${hint}</span>`}
<input id="${name}" name="${name}" type="${type}"${value}${isWrong}${described} ${more}>`
  }
  const choice = (name: 'ipv4' | 'ipv6', value: string, label: string): string =>
    `<label class="choice"><input type="radio" name="${name}" value="${value}"${form[name] === value ? ' checked' : ''}> ${label}</label>`
  return page(
    'Set this appliance up',
    `${alert(trouble)}<form method="post" action="/" enctype="multipart/form-data" autocomplete="off">
<fieldset><legend>You stand in front of it</legend>
${field('code', 'Set-up code', { hint: 'From the screen of the appliance.', more: 'required maxlength="32" spellcheck="false"' })}
</fieldset>
<fieldset><legend>Site</legend>
${field('address', 'Name or address that laptops and servers reach this appliance at', { hint: 'It stays for ever, so a name as backup.example.net is better than an address.', more: 'required maxlength="253" spellcheck="false"' })}
</fieldset>
<fieldset><legend>First administrator</legend>
${field('administrator', 'Name', { hint: 'a-z, 0-9 and -', more: 'required maxlength="64" autocomplete="username" spellcheck="false"' })}
${field('password', 'Password', { type: 'password', hint: 'At least 12 characters.', more: 'required minlength="12" maxlength="1024" autocomplete="new-password"' })}
${field('password_again', 'The same password again', { type: 'password', more: 'required maxlength="1024" autocomplete="new-password"' })}
</fieldset>
<fieldset><legend>Keystore</legend>
${field('keystore', 'Connection file', { type: 'file', hint: 'From whoever runs the keystore. Without one, each key is on its own devices only: whoever loses them loses the backups.' })}
</fieldset>
<fieldset><legend>Network</legend>
<label for="interface">Interface</label>
<select id="interface" name="interface"><option value="">first wired</option>${interfaces.map(name => `<option${form.interface === name ? ' selected' : ''}>${escaped(name)}</option>`).join('')}</select>
<fieldset><legend>IPv4</legend>
${choice('ipv4', 'dhcp', 'DHCP')} ${choice('ipv4', 'static', 'static')} ${choice('ipv4', 'link-local', 'link-local only')}
${field('ipv4_address', 'Static address and prefix', { hint: 'as 192.0.2.10/24' })}
${field('ipv4_gateway', 'Gateway')}
</fieldset>
<fieldset><legend>IPv6</legend>
${choice('ipv6', 'auto', 'automatic')} ${choice('ipv6', 'static', 'static')} ${choice('ipv6', 'link-local', 'link-local only')}
${field('ipv6_address', 'Static address and prefix', { hint: 'as 2001:db8::10/64' })}
${field('ipv6_gateway', 'Gateway')}
</fieldset>
${field('dns', 'Name servers', { hint: 'Addresses, with spaces between. Those that DHCP gives are used too.' })}
</fieldset>
<fieldset><legend>Time</legend>
${field('time_servers', 'Time servers', { hint: 'Names or addresses, with spaces between. Without any, those that DHCP gives, or else public ones.' })}
<label for="zone">Time zone</label>
<select id="zone" name="zone">${ZONES.map(zone => `<option${form.zone === zone ? ' selected' : ''}>${zone}</option>`).join('')}</select>
</fieldset>
<button>Go on to the recovery key</button>
</form>`,
  )
}

export function recoveryPage(session: string, recoveryKey: string, trouble?: Trouble): string {
  return page(
    'Keep the recovery key',
    `${alert(trouble)}<p>What this appliance stores is encrypted, and opens by itself on this very machine. If the machine dies, this key opens its disks in another one. It is shown here and nowhere again.</p>
<p>Write it down or print this page, and keep it away from the appliance:</p>
<code class="key">${escaped(recoveryKey)}</code>
<form method="post" action="/finish" autocomplete="off">
<input type="hidden" name="session" value="${escaped(session)}">
<label for="recovery_key_end">Its last group, from what you wrote down</label>
<input id="recovery_key_end" name="recovery_key_end" required maxlength="64" spellcheck="false"${trouble ? ' aria-invalid="true"' : ''}>
<p><button>Finish</button></p>
</form>`,
  )
}

export function donePage(site: SiteFacts): string {
  const host = site.address.includes(':') ? `[${site.address}]` : site.address
  return page(
    'This appliance is set up',
    `<p>This page is gone for good. In a moment the screen of the appliance says <strong>ready</strong>.</p>
<p>From now on laptops and servers reach it at <code>https://${escaped(host)}:${site.authority_port}</code>, and so do you:</p>
<p><code>holdfast-appliance connect ${escaped(host)}:${site.authority_port} --ca-sha256 ${escaped(site.ca_sha256)} --as NAME --home DIR</code></p>
<p>The SHA-256 of the site's certificate authority is on the screen too.</p>`,
  )
}

export const troublePage = (trouble: Trouble): string => page('This did not work', `${alert(trouble)}<p><a href="/">Begin anew</a></p>`)

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, character => ENTITIES[character] ?? '')
