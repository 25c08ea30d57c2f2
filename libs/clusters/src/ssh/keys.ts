import { createHash } from 'node:crypto';
import { utils } from 'ssh2';

/** An engine on a host with sshd: the address, the private key that signs in there, and the host's own public key, which must be known. */
export interface SshEndpoint {
  kind: 'ssh';
  /** `ssh://user@host[:port][/path/to/docker.sock]` */
  address: string;
  /** Ed25519 or ECDSA, unencrypted, as `ssh-keygen` writes it. */
  key: string;
  /** `<type> <base64>`, as in `/etc/ssh/ssh_host_ed25519_key.pub`. Empty: nobody knows it yet, and no connection is made. */
  hostKey: string;
}

/** Where an address leads. */
export interface SshTarget {
  user: string;
  host: string;
  port: number;
  /** The engine's socket on that host. */
  path: string;
}

/**
 * The form of an address. There is no place for a password: keys alone sign in. Paths have no escapes, and no characters that mean something in
 * addresses; a socket's path has at most 107.
 */
export const sshAddressForm = /^ssh:\/\/([a-zA-Z0-9_][a-zA-Z0-9._-]{0,63})@(?:([a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?)|\[([0-9a-fA-F:.]{2,45})\])(?::([1-9][0-9]{0,4}))?(\/[a-zA-Z0-9._/@+,-]{1,106}|\/)?$/;

const enginesSocket = '/var/run/docker.sock';

/** Reads an address; null where it has not the form. Port 22 and the engine's usual socket where it names none. */
export function parseSshAddress(address: string): SshTarget | null {
  const match = sshAddressForm.exec(address);
  if (!match) return null;
  const [, user, name, literal, port = '22', path = ''] = match as unknown as [string, string, string | undefined, string | undefined, string | undefined, string | undefined];
  if (Number(port) > 65_535) return null;
  return { user, host: name ?? literal!, port: Number(port), path: path.length > 1 ? path : enginesSocket };
}

/**
 * Types of host keys that are taken, the better first, with the algorithms of signatures that may be made with them. `ssh-rsa` as an algorithm
 * (SHA-1) and DSA are not among them.
 */
const hostKeyAlgorithms = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
} as const;
type HostKeyType = keyof typeof hostKeyAlgorithms;
/** What a host may prove its key with. */
export type HostKeyAlgorithm = (typeof hostKeyAlgorithms)[HostKeyType][number];

const minRsaBits = 2048;

/** A host's public key. */
export interface HostKey {
  type: string;
  blob: Buffer;
}

/** Reads a line of a `.pub` file, or of `known_hosts` (what names the host there is not looked at). @throws Error that says what is wrong with it */
export function parseHostKey(line: string): HostKey {
  const match = /^(?:[^\s#@][^\s]*[ \t]+)?((?:ssh|ecdsa)-[a-z0-9-]+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t].*)?$/.exec(line.trim());
  if (!match) throw new Error('not a public key: one line, `<type> <base64>`');
  const [, type, text] = match as unknown as [string, string, string];
  if (!Object.hasOwn(hostKeyAlgorithms, type)) throw new Error(`keys of type ${type} are not taken; the types are ${Object.keys(hostKeyAlgorithms).join(', ')}`);
  const blob = Buffer.from(text, 'base64');
  const parts = readStrings(blob);
  if (!parts || parts[0]?.toString('latin1') !== type || parts.length < 2) throw new Error(`not a key of type ${type}`);
  if (type === 'ssh-rsa' && bitsOf(parts[2]) < minRsaBits) throw new Error(`RSA keys have at least ${minRsaBits} bits`);
  return { type, blob };
}

/** One line, as it is kept. */
export function writeHostKey({ type, blob }: HostKey): string {
  return `${type} ${blob.toString('base64')}`;
}

/** As `ssh-keygen -lf` shows it: `SHA256:…`. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** For messages: the fingerprint of a key that a host has shown, with its type. */
export function describeBlob(blob: Buffer): string {
  return `${fingerprint(blob)} (${readStrings(blob)?.[0]?.toString('latin1').replace(/[^\w@.-]/g, '?').slice(0, 40) ?? 'of no known type'})`;
}

/** What to offer a host, so that it shows the key that is known if it has it; another one of its keys otherwise, which is then not the one. */
export function algorithmsFor(known: HostKey | null): HostKeyAlgorithm[] {
  const all = Object.entries(hostKeyAlgorithms) as [HostKeyType, readonly HostKeyAlgorithm[]][];
  return all.sort(([a], [b]) => Number(b === known?.type) - Number(a === known?.type)).flatMap(([, algorithms]) => algorithms);
}

/** @throws Error that says why the text is no private key to sign in with */
export function checkPrivateKey(text: string): void {
  const parsed = utils.parseKey(text) as ReturnType<typeof utils.parseKey> | ReturnType<typeof utils.parseKey>[];
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (!key || key instanceof Error) throw new Error(/encrypted|passphrase/i.test(key?.message ?? '') ? 'the key is encrypted; give one without a passphrase' : 'not a private key as ssh-keygen writes it');
  if (!key.isPrivateKey()) throw new Error('a public key, not a private one');
  // The way by which RSA keys agree on a hash ends at SHA-1.
  if (key.type !== 'ssh-ed25519' && !key.type.startsWith('ecdsa-sha2-nistp')) throw new Error('only Ed25519 and ECDSA keys sign in; make one with ssh-keygen -t ed25519');
}

/** The strings of the wire format (RFC 4251, 5): length, then bytes. Null where they do not fill the buffer. */
function readStrings(blob: Buffer): Buffer[] | null {
  const strings: Buffer[] = [];
  let at = 0;
  while (at < blob.length) {
    if (at + 4 > blob.length) return null;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return null;
    strings.push(blob.subarray(at + 4, end));
    at = end;
  }
  return strings;
}

function bitsOf(number: Buffer | undefined): number {
  const bytes = number ?? Buffer.alloc(0);
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first - 1) * 8 + (32 - Math.clz32(bytes[first]!));
}
