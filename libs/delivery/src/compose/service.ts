import { compact, Fields, matching, wholeNumber } from './fields';
import { readMountedFiles, readMounts } from './mounts';
import type { ComposeAttachment, ComposeDeploy, ComposeHealthcheck, ComposeService, ComposeUpdateConfig } from './model';
import { readPorts } from './ports';
import type { Tree } from './tree';
import { byCode, isAddress, parseBytes, parseDurationNs, parseNanoCpus, splitCommand, ValueError } from './values';

const imageForm = /^[a-z0-9][a-z0-9._:/-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;

/** One service; absent fields stay absent. `variables` fill environment entries that have no value. */
export function readService(service: Fields, variables: Record<string, string>): ComposeService | null {
  const image = service.text('image', imageForm, 'an image reference such as registry.example.com/acme/web:1.2');
  if (service.find('image') === undefined) {
    service.fault(service.tree, 'the service has no image; build and push one and name it in image', 'missing');
  }
  const read = compact<ComposeService>({
    image: image ?? '',
    command: command(service, 'command'),
    entrypoint: command(service, 'entrypoint'),
    environment: environment(service, variables),
    labels: service.labels(),
    hostname: service.text('hostname', /^\S{1,255}$/, 'a host name'),
    user: service.text('user', /^[^\s:]{1,64}(:[^\s:]{1,64})?$/, 'user or user:group'),
    groupAdd: groups(service),
    workingDir: service.text('working_dir', /^\/[^\n]*$/, 'an absolute path'),
    stopSignal: service.text('stop_signal', /^([A-Za-z][A-Za-z0-9+-]{0,15}|\d{1,2})$/, 'a signal such as SIGTERM'),
    stopGracePeriodNs: service.convert('stop_grace_period', parseDurationNs),
    init: service.flag('init'),
    readOnly: service.flag('read_only'),
    tty: service.flag('tty'),
    openStdin: service.flag('stdin_open'),
    healthcheck: healthcheck(service),
    networks: networks(service),
    mounts: readMounts(service),
    configs: readMountedFiles(service, 'configs'),
    secrets: readMountedFiles(service, 'secrets'),
    ports: readPorts(service),
    ...capabilities(service),
    sysctls: service.record('sysctls'),
    ulimits: ulimits(service),
    dns: addresses(service, 'dns'),
    dnsSearch: service.matching('dns_search', /^\S{1,255}$/, 'domain names'),
    dnsOptions: service.matching('dns_opt', /^\S{1,255}$/, 'resolver options'),
    extraHosts: extraHosts(service),
    logging: logging(service),
    deploy: deploy(service.inner('deploy')),
  });
  const endpoint = service.inner('deploy').find('endpoint_mode');
  if (endpoint !== undefined && read.deploy.endpointMode === 'dnsrr' && read.ports.some(({ mode }) => mode === 'ingress')) {
    service.fault(endpoint, 'endpoint_mode dnsrr does not go with ports of mode ingress; publish them with mode: host', 'conflict');
  }
  return image === undefined ? null : read;
}

function command(service: Fields, key: 'command' | 'entrypoint'): string[] | undefined {
  const at = service.find(key);
  if (at === undefined || at.kind === 'null') return undefined;
  const words = at.kind === 'array' ? at.items.map((item) => item.text) : service.read(at, key, splitCommand);
  if (words === undefined || words.length > 0) return words;
  if (key === 'entrypoint')
    service.fault(at, 'entrypoint is empty, but Swarm can not clear that of the image; name the program or remove the key', 'unsupported');
  else service.notices.warn(at, 'attention', 'command is empty: Swarm runs the command of the image, unless entrypoint is given');
  return undefined;
}

function environment(service: Fields, variables: Record<string, string>): Record<string, string | null> {
  return Object.fromEntries(
    service.pairs('environment').map(({ at, name, value }) => {
      if (value !== null) return [name, value];
      if (Object.hasOwn(variables, name)) return [name, variables[name] ?? ''];
      service.notices.warn(
        at,
        'attention',
        `environment ${name} has no value and no variable of that name is defined: it is unset in the container`,
      );
      return [name, null];
    }),
  );
}

function groups(service: Fields): string[] | undefined {
  const found = service.matching('group_add', /^[^\s:]{1,64}$/, 'names or numbers of groups');
  return found.length === 0 ? undefined : found;
}

function healthcheck(service: Fields): ComposeHealthcheck | undefined {
  if (service.find('healthcheck') === undefined) return undefined;
  const check = service.inner('healthcheck');
  const at = check.find('test');
  const disabled = check.flag('disable') === true;
  let test: string[] | undefined;
  if (at?.kind === 'array') {
    test = at.items.map((item) => item.text);
    const kind = test[0] ?? '';
    if (!['NONE', 'CMD', 'CMD-SHELL'].includes(kind) || (kind === 'NONE') !== (test.length === 1)) {
      check.fault(at, 'test must be ["NONE"], or begin with CMD or CMD-SHELL and name a command');
    }
  } else if (at !== undefined) {
    if (at.text.trim() === '') check.fault(at, 'test must name a command');
    test = ['CMD-SHELL', at.text];
  }
  if (disabled && at !== undefined && test?.[0] !== 'NONE') check.fault(at, 'test does not go with disable: true; remove one', 'conflict');
  const duration = (key: string) =>
    check.convert(key, (text) => {
      const ns = parseDurationNs(text);
      if (ns > 0 && ns < 1_000_000) throw new ValueError('must be 0 or at least 1ms');
      return ns;
    });
  const interval = check.find('start_interval');
  if (interval !== undefined) check.notices.warn(interval, 'attention', 'start_interval is honoured by engines of API 1.44 and later only');
  return compact({
    test: disabled ? ['NONE'] : test,
    intervalNs: duration('interval'),
    timeoutNs: duration('timeout'),
    startPeriodNs: duration('start_period'),
    startIntervalNs: duration('start_interval'),
    retries: check.whole('retries', 0, 1_000_000),
  });
}

function networks(service: Fields): ComposeAttachment[] {
  const at = service.find('networks');
  const found: ComposeAttachment[] = [];
  for (const item of at?.items ?? []) {
    if (found.some(({ name }) => name === item.text)) service.fault(item, 'networks names the same network twice; remove one', 'conflict');
    found.push({ name: item.text, aliases: [], driverOpts: {} });
  }
  for (const [name, item] of at?.entries ?? []) {
    const network = new Fields(item, service.notices);
    found.push({ name, aliases: network.matching('aliases', /^\S{1,255}$/, 'host names'), driverOpts: network.record('driver_opts') });
  }
  return found.length === 0 ? [{ name: 'default', aliases: [], driverOpts: {} }] : found;
}

function capabilities(service: Fields): { capAdd: string[]; capDrop: string[] } {
  const read = (key: string) => {
    const names = service.matching(key, /^([a-z]+_)*[a-z]+$/i, 'names of capabilities such as NET_ADMIN').map((name) =>
      name
        .toUpperCase()
        .replace(/^(CAP_)?/, 'CAP_')
        .replace(/^CAP_ALL$/, 'ALL'),
    );
    return names.includes('ALL') ? ['ALL'] : [...new Set(names)].sort(byCode);
  };
  const capAdd = read('cap_add');
  const capDrop = read('cap_drop');
  const at = service.find('cap_drop');
  if (at !== undefined && capAdd.includes('ALL') && capDrop.includes('ALL')) {
    service.fault(at, 'cap_add and cap_drop both name ALL; remove one', 'conflict');
  }
  const both = capDrop.filter((name) => capAdd.includes(name));
  if (at !== undefined && both.length > 0)
    service.notices.warn(at, 'attention', 'cap_drop names a capability that cap_add adds: it is added');
  return { capAdd, capDrop: capDrop.filter((name) => !capAdd.includes(name)) };
}

function ulimits(service: Fields): Record<string, { soft: number; hard: number }> {
  const found: [string, { soft: number; hard: number }][] = [];
  for (const [name, item] of service.find('ulimits')?.entries ?? []) {
    if (!/^[a-z]{1,16}$/.test(name)) service.fault(item, 'ulimits has an unknown name; use names such as nofile');
    if (item.kind === 'object') {
      const limit = new Fields(item, service.notices);
      const soft = limit.whole('soft', -1);
      const hard = limit.whole('hard', -1);
      if (limit.find('soft') === undefined || limit.find('hard') === undefined)
        service.fault(item, `ulimits ${name} needs both soft and hard`, 'missing');
      if (soft === undefined || hard === undefined) continue;
      if (hard !== -1 && (soft === -1 || soft > hard)) service.fault(item, `ulimits ${name}: soft must not be above hard`);
      found.push([name, { soft, hard }]);
    } else {
      const both = service.read(item, `ulimits ${name}`, (text) => wholeNumber(text, -1, Number.MAX_SAFE_INTEGER));
      if (both !== undefined) found.push([name, { soft: both, hard: both }]);
    }
  }
  return Object.fromEntries(found);
}

function addresses(service: Fields, key: string): string[] {
  const found: string[] = [];
  for (const { at, text } of service.texts(key)) {
    if (isAddress(text)) found.push(text);
    else service.fault(at, `${key} must be IP addresses`);
  }
  return found;
}

function extraHosts(service: Fields): string[] {
  const at = service.find('extra_hosts');
  const given: { at: Tree; name: string; address: string }[] = [];
  for (const item of at?.items ?? []) {
    const [, name = '', address = ''] = /^([^=:]+)[=:](.*)$/.exec(item.text) ?? [];
    given.push({ at: item, name, address });
  }
  for (const [name, item] of at?.entries ?? []) {
    for (const one of item.kind === 'array' ? item.items : [item]) given.push({ at: one, name, address: one.text });
  }
  const hosts: string[] = [];
  for (const { at: place, name, address } of given) {
    const bare = address.replace(/^\[(.*)\]$/, '$1');
    if (bare === 'host-gateway') service.fault(place, 'extra_hosts: Swarm does not know host-gateway; write the address', 'unsupported');
    else if (!/^\S{1,255}$/.test(name) || !isAddress(bare)) service.fault(place, 'extra_hosts must be name=address');
    else hosts.push(`${bare} ${name}`);
  }
  return hosts;
}

function logging(service: Fields): { driver?: string; options: Record<string, string> } | undefined {
  if (service.find('logging') === undefined) return undefined;
  const fields = service.inner('logging');
  return compact({
    driver: fields.text('driver', /^[a-zA-Z0-9][a-zA-Z0-9_.:/@-]*$/, 'the name of a logging driver'),
    options: fields.record('options'),
  });
}

function deploy(fields: Fields): ComposeDeploy {
  const mode = fields.oneOf('mode', ['replicated', 'global', 'replicated-job', 'global-job'] as const) ?? 'replicated';
  const placement = fields.inner('placement');
  const deployed = compact<ComposeDeploy>({
    mode,
    replicas: fields.whole('replicas', 0, 1_000_000),
    labels: fields.labels(),
    endpointMode: fields.oneOf('endpoint_mode', ['vip', 'dnsrr'] as const),
    constraints: placement.matching('constraints', /^\s*[\w.-]+\s*(==|!=)\s*\S.*$/, 'constraints such as node.role == worker'),
    spread: spread(placement),
    maxReplicasPerNode: placement.whole('max_replicas_per_node', 0, 1_000_000),
    ...resources(fields.inner('resources')),
    restartPolicy: restartPolicy(fields),
    updateConfig: updateConfig(fields, 'update_config'),
    rollbackConfig: updateConfig(fields, 'rollback_config'),
  });
  const global = mode.startsWith('global');
  const job = mode.endsWith('-job');
  const refuse = (at: Tree | undefined, message: string) => at !== undefined && fields.fault(at, message, 'conflict');
  if (global) refuse(fields.find('replicas'), `replicas does not go with mode ${mode}; remove it`);
  if (mode !== 'replicated')
    refuse(placement.find('max_replicas_per_node'), `max_replicas_per_node does not go with mode ${mode}; remove it`);
  if (job) {
    for (const key of ['update_config', 'rollback_config'])
      refuse(fields.find(key), `${key} does not go with mode ${mode}: a job is run, not updated; remove it`);
    if (deployed.restartPolicy?.condition === 'any') {
      refuse(
        fields.inner('restart_policy').find('condition'),
        `condition any does not go with mode ${mode}: a job ends; use on-failure or none`,
      );
    }
  }
  return deployed;
}

function spread(placement: Fields): string[] {
  const found: string[] = [];
  for (const item of placement.find('preferences')?.items ?? []) {
    const preference = new Fields(item, placement.notices);
    const by = preference.text('spread', /^(node|engine)\.labels\.\S+$/, 'a node label such as node.labels.zone');
    if (preference.find('spread') === undefined) placement.fault(item, 'preferences has an entry without spread; add it', 'missing');
    if (by !== undefined) found.push(by);
  }
  return found;
}

function resources(fields: Fields): Pick<ComposeDeploy, 'limits' | 'reservations'> {
  // The least that Swarm takes.
  const nanoCpus = (of: Fields) =>
    of.convert('cpus', (text) => {
      const nano = parseNanoCpus(text);
      if (nano > 0 && nano < 1_000_000) throw new ValueError('must be at least 0.001');
      return nano;
    });
  const memoryBytes = (of: Fields) =>
    of.convert('memory', (text) => {
      const bytes = parseBytes(text);
      if (bytes > 0 && bytes < 4 * 1024 * 1024) throw new ValueError('must be at least 4M');
      return bytes;
    });
  const limits = fields.inner('limits');
  const reservations = fields.inner('reservations');
  return compact({
    limits:
      fields.find('limits') && compact({ nanoCpus: nanoCpus(limits), memoryBytes: memoryBytes(limits), pids: limits.whole('pids', 0) }),
    reservations:
      fields.find('reservations') &&
      compact({ nanoCpus: nanoCpus(reservations), memoryBytes: memoryBytes(reservations), generic: genericResources(reservations) }),
  });
}

function genericResources(reservations: Fields): { kind: string; value: number }[] {
  const found: { kind: string; value: number }[] = [];
  for (const item of reservations.find('generic_resources')?.items ?? []) {
    const spec = new Fields(item, reservations.notices).inner('discrete_resource_spec');
    const kind = spec.text('kind', /^\S{1,255}$/, 'the name of a resource');
    const value = spec.whole('value', 1);
    if (spec.find('kind') === undefined || spec.find('value') === undefined) {
      reservations.fault(item, 'generic_resources has an entry without discrete_resource_spec of kind and value; add them', 'missing');
    }
    if (kind !== undefined && value !== undefined) found.push({ kind, value });
  }
  return found;
}

function restartPolicy(fields: Fields): ComposeDeploy['restartPolicy'] {
  if (fields.find('restart_policy') === undefined) return undefined;
  const policy = fields.inner('restart_policy');
  return compact({
    condition: policy.oneOf('condition', ['none', 'on-failure', 'any'] as const),
    delayNs: policy.convert('delay', parseDurationNs),
    maxAttempts: policy.whole('max_attempts', 0),
    windowNs: policy.convert('window', parseDurationNs),
  });
}

function updateConfig(fields: Fields, key: 'update_config' | 'rollback_config'): ComposeUpdateConfig | undefined {
  if (fields.find(key) === undefined) return undefined;
  const config = fields.inner(key);
  const actions = key === 'update_config' ? (['pause', 'continue', 'rollback'] as const) : (['pause', 'continue'] as const);
  return compact({
    parallelism: config.whole('parallelism', 0, 1_000_000),
    delayNs: config.convert('delay', parseDurationNs),
    failureAction: config.oneOf<'pause' | 'continue' | 'rollback'>('failure_action', actions),
    monitorNs: config.convert('monitor', parseDurationNs),
    maxFailureRatio: config.convert('max_failure_ratio', (text) => {
      const ratio = Number(matching(text, /^\d{1,3}(\.\d{1,9})?$/, 'a number from 0 to 1'));
      if (ratio > 1) throw new ValueError('must be a number from 0 to 1');
      return ratio;
    }),
    order: config.oneOf('order', ['stop-first', 'start-first'] as const),
  });
}
