import type { EngineRuling } from '../engine-api/rule';
import { containerName, type Use, type Value } from '../engine-api/shape';
import type { Seen } from './objects';
import { withQuery } from './query';
import { isObject, memberOf, memberText, plain, put, textAt } from './values';

/**
 * Writes the id of what was judged where its name stood. Engines look names up anew, later than they were judged, some as late as a container's start.
 * Links within a network stay: they are names that only its own members are asked by.
 */
export function pin(ruling: EngineRuling, { kind, id, pointer }: Use, seen: Seen): void {
  if (kind !== 'container' && kind !== 'network') return;
  if (pointer === '?networkmode') {
    ruling.query = withQuery(ruling.query, { networkmode: kind === 'container' ? `container:${seen.id}` : seen.id });
    return;
  }
  const { body } = ruling;
  const said = textAt(body, pointer) ?? '';
  if (kind === 'container') {
    if (said.startsWith('container:')) put(body, pointer, `container:${seen.id}`);
    else if (pointer.startsWith('/HostConfig/Links/')) put(body, pointer, `${seen.id}:${aliasOf(said)}`);
    else if (pointer.startsWith('/HostConfig/VolumesFrom/')) put(body, pointer, `${seen.id}${said.includes(':') ? said.slice(said.indexOf(':')) : ''}`);
    else if (pointer === '/Container') put(body, pointer, seen.id);
    return;
  }
  if (pointer.endsWith('/Target') || pointer.endsWith('/NetworkID')) put(body, pointer, seen.id);
  else if (/^\/NetworkingConfig\/EndpointsConfig\/[^/]*$/.test(pointer)) pinEndpoint(memberOf(memberOf(body, 'NetworkingConfig'), 'EndpointsConfig'), id, seen.id);
  else if (pointer === '/HostConfig/NetworkMode') {
    const endpoints = memberOf(memberOf(body, 'NetworkingConfig'), 'EndpointsConfig');
    if (isObject(endpoints) && Object.keys(endpoints).length > 0) return;
    (body as Record<string, Value>)['NetworkingConfig'] = plain({ EndpointsConfig: plain({ [seen.name]: plain({ NetworkID: seen.id }) }) });
  }
}

/** Of `name:alias`, the alias; engines tell links as `/name:/other/alias`, and take them so. */
function aliasOf(link: string): string {
  const [name = '', alias = containerName(name)] = link.split(':');
  return link.startsWith('/') ? alias.split('/').at(-1)! : alias;
}

/** Says in an endpoint's configuration, made where there is none, which network it is of; what it says itself was judged. */
export function pinEndpoint(holder: Value, name: string, networkId: string): void {
  if (!isObject(holder)) return;
  const endpoint = holder[name] ?? null;
  if (!isObject(endpoint)) holder[name] = plain({ NetworkID: networkId });
  else if ((memberText(endpoint, 'NetworkID') ?? '') === '') endpoint['NetworkID'] = networkId;
}
