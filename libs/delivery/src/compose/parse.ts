import { compact, Fields } from './fields';
import type { ComposeConfig, ComposeFile, ComposeNetwork, ComposeResult, ComposeSecret, ComposeVolume } from './model';
import { pointerTo, type ComposeNotice } from './notice';
import { readService } from './service';
import { defaultLimits, Notices, readTree, type ComposeLimits, type Tree } from './tree';
import { isAddress, isSubnet } from './values';

const objectName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const serviceName = /^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$/;
const maxConfigBytes = 1000 * 1024;

/**
 * Reads a Compose file for Swarm: YAML, variables, our table of the Compose specification's keys, and the values themselves.
 * Pure: equal text and variables give an equal result. Never throws on any text.
 * `variables` replace `${NAME}` (an undefined one without a default is an error). A key that Swarm or Gantry can not do is an
 * error if leaving it out would change what runs, else a warning; `x-…` keys are skipped. Errors never show a variable's value.
 * Source: the Compose specification and the stack file format 3.13; differences are told in the notices.
 */
export function parseCompose(text: string, options: { variables: Record<string, string>; limits?: Partial<ComposeLimits> }): ComposeResult {
  const limits = { ...defaultLimits, ...options.limits };
  const notices = new Notices(limits.errors);
  const tree = readTree(text, options.variables, limits, notices);
  const file = tree === null ? null : readFile(new Fields(tree, notices), options.variables);
  if (file === null || notices.errors.length > 0) return { ok: false, errors: inOrder(notices.errors) };
  return { ok: true, file, warnings: inOrder(notices.warnings) };
}

function inOrder(found: ComposeNotice[]): ComposeNotice[] {
  return found.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

function readFile(root: Fields, variables: Record<string, string>): ComposeFile {
  const networks = section(root, 'networks', readNetwork);
  const volumes = section(root, 'volumes', readVolume);
  const configs = section(root, 'configs', (fields, name) => readConfig(fields, name, variables));
  const secrets = section(root, 'secrets', readSecret);
  const services = section(root, 'services', (fields) => readService(fields, variables), serviceName);
  const servicesAt = root.find('services');
  if (servicesAt === undefined || servicesAt.entries.size === 0) {
    root.fault(servicesAt ?? root.tree, 'services is missing or empty; the file must have at least one service', 'missing');
  }
  const file: ComposeFile = { services, networks, volumes, configs, secrets };
  checkReferences(root, file);
  checkPublished(root, file);
  return file;
}

function section<T>(root: Fields, key: string, read: (fields: Fields, name: string) => T | null, form = objectName): Record<string, T> {
  const found: [string, T][] = [];
  for (const [name, tree] of root.find(key)?.entries ?? []) {
    if (!form.test(name))
      root.fault(
        tree,
        `${key}: a name must be letters, digits, "-" or "_"${form === objectName ? ' or "."' : ''}, ` +
          'begin with a letter or digit, and have at most 63 characters',
      );
    const value = read(new Fields(tree, root.notices), name);
    if (value !== null) found.push([name, value]);
  }
  return Object.fromEntries(found);
}

/** `external` in its two forms, and `name`; an external object takes no other key. */
function identity(fields: Fields): { external: boolean; name?: string } {
  const at = fields.find('external');
  const old = at?.kind === 'object';
  const external = old || fields.flag('external') === true;
  if (old && fields.find('name') !== undefined) fields.fault(at, 'external.name and name are both given; keep name', 'conflict');
  const name = (old ? fields.inner('external') : fields).text('name', objectName, 'the name of an object on the cluster');
  if (external) {
    for (const [key, item] of fields.tree.entries) {
      if (key !== 'external' && key !== 'name')
        fields.fault(item, `${key} does not go with external: the object exists already; remove one`, 'conflict');
    }
  }
  return { external, name };
}

function readNetwork(fields: Fields): ComposeNetwork {
  const ipam = fields.inner('ipam');
  const driverAt = fields.find('driver');
  const driver = fields.text('driver', objectName, 'the name of a network driver');
  if (driverAt !== undefined && ['bridge', 'host', 'none', 'null', 'macvlan', 'ipvlan'].includes(driver ?? '')) {
    fields.fault(
      driverAt,
      'driver must span the cluster; use overlay, or create the network on the cluster and use external: true',
      'unsupported',
    );
  }
  return compact<ComposeNetwork>({
    ...identity(fields),
    driver,
    driverOpts: fields.record('driver_opts'),
    attachable: fields.flag('attachable'),
    internal: fields.flag('internal'),
    ipamDriver: ipam.text('driver', objectName, 'the name of an address management driver'),
    ipam: (ipam.find('config')?.items ?? []).map((item) => readPool(new Fields(item, fields.notices))),
    labels: fields.labels(),
  });
}

function readPool(pool: Fields): ComposeNetwork['ipam'][number] {
  for (const [key, item] of pool.tree.entries) {
    const fits = key === 'gateway' ? isAddress(item.text) : isSubnet(item.text);
    if (!fits) pool.fault(item, `${key} must be ${key === 'gateway' ? 'an IP address' : 'an address range such as 10.9.0.0/24'}`);
  }
  return compact({ subnet: pool.find('subnet')?.text, gateway: pool.find('gateway')?.text, ipRange: pool.find('ip_range')?.text });
}

function readVolume(fields: Fields): ComposeVolume {
  return compact<ComposeVolume>({
    ...identity(fields),
    driver: fields.text('driver', /^[a-zA-Z0-9][a-zA-Z0-9_.:/@-]{0,254}$/, 'the name of a volume driver'),
    driverOpts: fields.record('driver_opts'),
    labels: fields.labels(),
  });
}

function templateDriver(fields: Fields): string | undefined {
  return fields.oneOf('template_driver', ['golang'] as const);
}

function readConfig(fields: Fields, key: string, variables: Record<string, string>): ComposeConfig {
  const id = identity(fields);
  const contentAt = fields.find('content');
  const environmentAt = fields.find('environment');
  let content = contentAt?.text;
  if (contentAt !== undefined && environmentAt !== undefined)
    fields.fault(environmentAt, 'content and environment are both given; remove one', 'conflict');
  if (environmentAt !== undefined) {
    const variable = environmentAt.text;
    content = Object.hasOwn(variables, variable) ? variables[variable] : undefined;
    if (content === undefined)
      fields.fault(environmentAt, 'environment names a variable that is not defined; define it or use content', 'variable');
  }
  const at = contentAt ?? environmentAt;
  if (at === undefined && !id.external)
    fields.fault(
      fields.tree,
      `the config ${key} has no text; write it into content, name a variable in environment, or use external: true`,
      'missing',
    );
  const bytes = Buffer.byteLength(content ?? '');
  if (at !== undefined && content !== undefined && (bytes === 0 || bytes >= maxConfigBytes)) {
    fields.fault(at, `${at === contentAt ? 'content' : 'environment'} must give 1 to ${maxConfigBytes - 1} bytes, for Swarm takes no more`);
  }
  return compact<ComposeConfig>({ ...id, content, templateDriver: templateDriver(fields), labels: fields.labels() });
}

function readSecret(fields: Fields, key: string): ComposeSecret {
  const id = identity(fields);
  const valueName = fields.text('environment', /^\S{1,255}$/, 'the name of a value kept in Gantry') ?? key;
  return compact<ComposeSecret>({
    ...id,
    valueName: id.external ? undefined : valueName,
    templateDriver: templateDriver(fields),
    labels: fields.labels(),
  });
}

/** Every network, volume, config and secret that a service names must be declared. */
function checkReferences(root: Fields, file: ComposeFile): void {
  const used = new Set<string>();
  const check = (at: Tree | undefined, kind: 'networks' | 'volumes' | 'configs' | 'secrets', name: string) => {
    used.add(`${kind} ${name}`);
    if (at === undefined || root.find(kind)?.entries.has(name) || (kind === 'networks' && name === 'default')) return;
    const shown = at.interpolated ? 'an entry' : name;
    root.fault(at, `${kind}: ${shown} is not declared; add it under the top-level ${kind}`, 'missing');
  };
  for (const [name, tree] of root.find('services')?.entries ?? []) {
    const service = Object.hasOwn(file.services, name) ? file.services[name] : undefined;
    const networks = tree.entries.get('networks');
    for (const item of networks?.items ?? []) check(item, 'networks', item.text);
    for (const [network, item] of networks?.entries ?? []) check(item, 'networks', network);
    if (networks === undefined || networks.items.length + networks.entries.size === 0) check(undefined, 'networks', 'default');
    const volumes = tree.entries.get('volumes');
    for (const mount of service?.mounts ?? []) {
      if (mount.type !== 'volume' || mount.source === undefined) continue;
      const item = volumes?.items.find((candidate) => candidate.pointer === mount.pointer);
      check(item?.entries.get('source') ?? item, 'volumes', mount.source);
    }
    for (const kind of ['configs', 'secrets'] as const) {
      for (const item of tree.entries.get(kind)?.items ?? []) {
        const source = item.kind === 'object' ? item.entries.get('source') : item;
        if (source !== undefined) check(source, kind, source.text);
      }
    }
  }
  for (const kind of ['networks', 'volumes'] as const) {
    for (const [name, at] of root.find(kind)?.entries ?? []) {
      if (!used.has(`${kind} ${name}`)) root.notices.warn(at, 'ignored', `${kind}: ${name} is not used by any service and is not created`);
    }
  }
}

/** Swarm listens once for each published ingress port of the whole cluster. */
function checkPublished(root: Fields, file: ComposeFile): void {
  const owners = new Map<string, string>();
  for (const [name, service] of Object.entries(file.services)) {
    for (const port of service.ports) {
      if (port.published === 0 || port.mode !== 'ingress') continue;
      const key = `${port.protocol} ${port.published}`;
      const owner = owners.get(key);
      const at = root.find('services')?.entries.get(name)?.entries.get('ports');
      if (owner !== undefined && owner !== name && at !== undefined) {
        root.notices.error(
          { ...at, pointer: pointerTo(pointerTo('/services', name), 'ports') },
          'conflict',
          `ports: two services publish the same ${port.protocol} port; change one`,
        );
      }
      owners.set(key, name);
    }
  }
}
