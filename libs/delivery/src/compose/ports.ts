import { compact, Fields } from './fields';
import type { ComposePort } from './model';
import type { Tree } from './tree';
import { parsePortRange, ValueError } from './values';

/** A range is one line that stands for many ports; an engine keeps a listener for each. */
const maxPorts = 1024;
const protocols = ['tcp', 'udp', 'sctp'] as const;

/** The ports of a service, both syntaxes, ranges expanded. */
export function readPorts(service: Fields): ComposePort[] {
  const ports: ComposePort[] = [];
  const seen = new Set<string>();
  for (const item of service.find('ports')?.items ?? []) {
    for (const port of item.kind === 'object' ? long(new Fields(item, service.notices)) : (service.read(item, 'ports', short) ?? [])) {
      const key = `${port.protocol} ${port.published === 0 ? `any ${port.target}` : port.published}`;
      if (seen.has(key)) service.fault(item, 'ports gives the same port twice; remove one', 'conflict');
      seen.add(key);
      ports.push(port);
    }
  }
  const at: Tree | undefined = service.find('ports');
  if (at !== undefined && ports.length > maxPorts) {
    service.fault(at, `ports stands for more than ${maxPorts} ports; publish fewer`, 'limit');
    return [];
  }
  return ports;
}

/** `[published:]target[/protocol]`, each side a port or a range. */
function short(text: string): ComposePort[] {
  const [whole = '', protocolText = 'tcp', more] = text.split('/');
  const protocol = protocols.find((name) => name === protocolText.toLowerCase());
  if (protocol === undefined || more !== undefined) throw new ValueError('has an unknown protocol; use tcp, udp or sctp');
  const parts = whole.split(':');
  if (parts.length > 2) {
    // Dropping the address would open to the world what was meant for one interface.
    if (parts.length > 3 || parts[0] !== '0.0.0.0') {
      throw new ValueError('names an address, but Swarm publishes a port on every address of a node; remove the address');
    }
    parts.shift();
  }
  const target = parsePortRange(parts.at(-1) ?? '');
  const published = parts.length === 2 && parts[0] !== '' ? parsePortRange(parts[0] ?? '') : null;
  const targets = target.last - target.first + 1;
  const ports: ComposePort[] = [];
  if (published === null) {
    for (let port = target.first; port <= target.last; port++) ports.push({ target: port, published: 0, protocol, mode: 'ingress' });
    return ports;
  }
  const count = published.last - published.first + 1;
  if (targets !== 1 && targets !== count) throw new ValueError('has two ranges of different length; make them equal');
  for (let index = 0; index < count; index++) {
    ports.push({
      target: targets === 1 ? target.first : target.first + index,
      published: published.first + index,
      protocol,
      mode: 'ingress',
    });
  }
  return ports;
}

function long(port: Fields): ComposePort[] {
  const target = port.whole('target', 1, 65_535);
  if (target === undefined) {
    if (port.find('target') === undefined)
      port.fault(port.tree, 'ports has an entry without target; name the port of the container', 'missing');
    return [];
  }
  const read = compact({
    published: port.whole('published', 0, 65_535),
    protocol: port.oneOf('protocol', protocols),
    mode: port.oneOf('mode', ['ingress', 'host'] as const),
  });
  return [{ target, published: read.published ?? 0, protocol: read.protocol ?? 'tcp', mode: read.mode ?? 'ingress' }];
}
