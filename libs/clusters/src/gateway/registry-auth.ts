import type { Problem } from '@gantry/platform';
import type { RegistryAuth } from '../engine.client';
import { clustersProblem } from '../problems';

/** Members by which registries know who signs in. */
const signIn = ['username', 'password', 'serveraddress', 'identitytoken', 'registrytoken', 'auth', 'email'];

/** Whether the address of a registry, as clients write it, is that of the host. */
export function isRegistry(address: string, host: string): boolean {
  return address.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '') === host;
}

/** `X-Registry-Auth` as engines read it. */
export function authHeader({ username, password, serverAddress }: RegistryAuth): string {
  return encode({ username, password, serveraddress: serverAddress });
}

/** `X-Registry-Auth` that signs in nowhere: without a header engines go on with what a service had. */
export const noAuth = encode({});

/**
 * `X-Registry-Auth` of a caller (base64url of an object of credentials), written anew with nothing but what signs in; null for none.
 * @throws clusters.spec-invalid
 */
export function checkedAuth(header: string): string | null {
  const auth = decode(header, 'X-Registry-Auth', 16_384);
  return auth && encode(signInOf(auth));
}

/**
 * `X-Registry-Config` of a caller (base64url of a map from registry to credentials), written anew with the credentials for our own registry alone;
 * null for none.
 * @throws clusters.spec-invalid
 */
export function checkedConfig(header: string, registryHost: string): string | null {
  const config = decode(header, 'X-Registry-Config', 65_536);
  if (config === null) return null;
  if (Array.isArray(config)) throw unreadable('X-Registry-Config');
  for (const [address, auth] of Object.entries(config)) {
    if (isRegistry(address, registryHost) && typeof auth === 'object' && auth !== null && !Array.isArray(auth)) return encode({ [registryHost]: signInOf(auth as object) });
  }
  return encode({});
}

function signInOf(auth: object): Record<string, string> {
  return Object.fromEntries(Object.entries(auth).filter((entry): entry is [string, string] => signIn.includes(entry[0]) && typeof entry[1] === 'string'));
}

/** Go reads base64url only with its padding. */
function encode(value: Record<string, unknown>): string {
  return Buffer.from(JSON.stringify(value)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** Clients written with the engine's own library send nothing, or null, where they have no credentials. */
function decode(header: string, name: string, maxLength: number): object | null {
  if (header === '') return null;
  let value: unknown;
  try {
    if (header.length <= maxLength && /^[A-Za-z0-9_+/=-]*$/.test(header)) value = JSON.parse(Buffer.from(header, 'base64url').toString());
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object') throw unreadable(name);
  return value;
}

function unreadable(name: string): Problem {
  return clustersProblem('spec-invalid', { detail: `${name} is not base64url of a JSON object.`, errors: [{ pointer: `header/${name.toLowerCase()}`, detail: 'not of the form that engines read' }] });
}
