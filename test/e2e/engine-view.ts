import { callEngine } from '../lab';
import { v, type Json } from '../bypass/book';

/** All that an engine has, by kind and id, as it tells on its own socket; without what changes by itself. */
export type View = Map<string, string>;

/** One call on an engine's own socket; the version is put in front of the path. */
export type EngineCall = <T = Json>(method: string, path: string, body?: unknown) => Promise<T>;

export interface Listed {
  Id: string;
  ID: string;
  Name: string;
}

/** Calls of the engine behind this socket. */
export function engineAt(socket: string): EngineCall {
  return (method, path, body) => callEngine(socket, method, `${v}${path}`, body);
}

/** @param changesOf of which containers the changed files are asked for; all, where it is not given */
export async function viewEngine(engine: EngineCall, changesOf: (id: string) => boolean = () => true): Promise<View> {
  const seen: View = new Map();
  const put = (kind: string, id: string, value: unknown): void => void seen.set(`${kind} ${id}`, JSON.stringify(value));
  for (const { Id } of await engine<Listed[]>('GET', '/containers/json?all=1')) {
    const { ExecIDs, ...rest } = await engine<{ ExecIDs: string[] | null }>('GET', `/containers/${Id}/json`);
    put('container', Id, { ...rest, ExecIDs: ExecIDs?.sort() ?? null }); // in no order
    if (changesOf(Id)) put('changes of container', Id, await engine('GET', `/containers/${Id}/changes`));
  }
  for (const { Id } of await engine<Listed[]>('GET', '/networks')) put('network', Id, await engine('GET', `/networks/${Id}`));
  for (const each of (await engine<{ Volumes: Listed[] | null }>('GET', '/volumes')).Volumes ?? []) put('volume', each.Name, each);
  for (const each of await engine<Listed[]>('GET', '/images/json?all=1&digests=1')) put('image', each.Id, each);
  for (const each of await engine<Listed[]>('GET', '/services')) put('service', each.ID, each);
  for (const { ID, ServiceID, Spec, DesiredState } of await engine<(Listed & Json)[]>('GET', '/tasks')) put('task', ID, { ServiceID, Spec,
    DesiredState });
  for (const kind of ['secret', 'config']) for (const each of await engine<Listed[]>('GET', `/${kind}s`)) put(kind, each.ID, each);
  for (const { ID, Spec } of await engine<(Listed & Json)[]>('GET', '/nodes')) put('node', ID, Spec);
  for (const each of await engine<Listed[]>('GET', '/plugins')) put('plugin', each.Id, each);
  const { ID, Spec, JoinTokens, RootRotationInProgress } = await engine('GET', '/swarm');
  put('swarm', ID as string, { Spec, JoinTokens, RootRotationInProgress });
  return seen;
}

/** In words, what is not the same in two views. */
export function differences(before: View, after: View): string[] {
  return [...new Set([...before.keys(),
    ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).map((key) => `${key}: ${difference(before.get(key) ?? '', after.get(key) ?? '')}`);
}

/** The parts in which two texts differ, with a little around them. */
export function difference(before: string, after: string): string {
  const at = [...before].findIndex((character, index) => character !== after[index]);
  const from = Math.max(0, at - 80);
  return `${before.slice(from, from + 400) || 'nothing'} → ${after.slice(from, from + 400) || 'nothing'}`;
}

/** Removes one object, by its key in a view; what is of no such kind stays. */
export async function removeSeen(engine: EngineCall, key: string): Promise<void> {
  const paths: Record<string, string> = { container: '/containers', network: '/networks', volume: '/volumes', service: '/services',
    secret: '/secrets', config: '/configs' };
  const [kind = '', id = ''] = key.split(' ');
  if (kind === 'image') await engine('DELETE', `/images/${id}?force=1`);
  if (kind in paths) await engine('DELETE', `${paths[kind]}/${id}${kind === 'container' ? '?force=1' : ''}`);
}
