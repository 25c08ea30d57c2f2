/**
 * What Gantry does with each key of the Compose specification.
 *
 * A path names a place in the file: `*` is any key of a free map, `[]` an item of a list. A key that has no row is unknown
 * and refused. An `ignored` or `refused` row speaks for everything below it, so it needs no rows of its own there.
 */
export type KeyStatus = 'supported' | 'ignored' | 'refused';

/** The YAML types a key may have; a quoted or interpolated string counts as the number or boolean that it spells. */
export type KeyType = 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';

/** One row of the table: `types` is empty unless supported, `reason` is empty if supported. */
export interface KeyRule {
  status: KeyStatus;
  types: readonly KeyType[];
  /** Why it is not done and what to write instead; a sentence without the key's name. */
  reason: string;
}

const ok = (types: string): KeyRule => ({ status: 'supported', types: types.split('|') as KeyType[], reason: '' });
const skip = (reason: string): KeyRule => ({ status: 'ignored', types: [], reason });
const no = (reason: string): KeyRule => ({ status: 'refused', types: [], reason });

const map = 'array|object';
const value = 'string|number|boolean|null';
const flag = 'boolean';

/** Rows of a thing that can be written as a list of `KEY=value` or as a map. */
const pairs = (path: string): Record<string, KeyRule> => ({ [path]: ok(map), [`${path}[]`]: ok('string'), [`${path}.*`]: ok(value) });
const texts = (path: string, types = 'array'): Record<string, KeyRule> => ({ [path]: ok(types), [`${path}[]`]: ok('string') });

const limitsRemedy = 'Swarm services do not take it; use deploy.resources.limits';
const cpuRemedy = 'Swarm schedules by whole or fractional CPUs only; use deploy.resources.limits.cpus';
const nodeOnly = 'Swarm services can not ask for it';
const ipRemedy = 'Swarm assigns the addresses of tasks itself; use the service name or an alias';

const top: Record<string, KeyRule> = {
  version: skip('it is obsolete: the keys alone decide what is supported'),
  name: skip('the stack is named after the application and its environment'),
  include: no('Gantry keeps one file for each application; put the included services into it'),
  models: no('Swarm does not run models; run the model server as a service'),
  services: ok('object'),
  networks: ok('object|null'),
  volumes: ok('object|null'),
  configs: ok('object|null'),
  secrets: ok('object|null'),
};

const networks: Record<string, KeyRule> = {
  'networks.*': ok('object|null'),
  'networks.*.driver': ok('string'),
  'networks.*.driver_opts': ok('object'),
  'networks.*.driver_opts.*': ok('string|number'),
  'networks.*.attachable': ok(flag),
  'networks.*.internal': ok(flag),
  'networks.*.enable_ipv4': no('overlay networks of Swarm always have IPv4'),
  'networks.*.enable_ipv6': no('overlay networks of Swarm have no IPv6 that services could use'),
  'networks.*.external': ok('boolean|object'),
  'networks.*.external.name': ok('string'),
  'networks.*.ipam': ok('object'),
  'networks.*.ipam.driver': ok('string'),
  'networks.*.ipam.config': ok('array'),
  'networks.*.ipam.config[]': ok('object'),
  'networks.*.ipam.config[].subnet': ok('string'),
  'networks.*.ipam.config[].gateway': ok('string'),
  'networks.*.ipam.config[].ip_range': ok('string'),
  'networks.*.ipam.config[].aux_addresses': no('Swarm does not reserve addresses; choose ip_range so that it leaves them out'),
  'networks.*.ipam.options': no('Gantry does not pass options to address management drivers'),
  ...pairs('networks.*.labels'),
  'networks.*.name': ok('string'),
};

const volumes: Record<string, KeyRule> = {
  'volumes.*': ok('object|null'),
  'volumes.*.driver': ok('string'),
  'volumes.*.driver_opts': ok('object'),
  'volumes.*.driver_opts.*': ok('string|number'),
  'volumes.*.external': ok('boolean|object'),
  'volumes.*.external.name': ok('string'),
  ...pairs('volumes.*.labels'),
  'volumes.*.name': ok('string'),
  'volumes.*.x-cluster-spec': no('Gantry does not create cluster (CSI) volumes; create one on the cluster and use external: true'),
};

const fileRemedy = 'Gantry has no files beside the Compose file';
const configs: Record<string, KeyRule> = {
  'configs.*': ok('object'),
  'configs.*.content': ok('string'),
  'configs.*.environment': ok('string'),
  'configs.*.external': ok('boolean|object'),
  'configs.*.external.name': ok('string'),
  'configs.*.file': no(`${fileRemedy}; write the text into content, or name a variable in environment`),
  ...pairs('configs.*.labels'),
  'configs.*.name': ok('string'),
  'configs.*.template_driver': ok('string'),
};

const secrets: Record<string, KeyRule> = {
  'secrets.*': ok('object|null'),
  'secrets.*.environment': ok('string'),
  'secrets.*.external': ok('boolean|object'),
  'secrets.*.external.name': ok('string'),
  'secrets.*.file': no(`${fileRemedy}; remove the key and put the value into Gantry as a secret of that name`),
  'secrets.*.content': no('a secret must not stand in the file; remove the key and put the value into Gantry as a secret of that name'),
  'secrets.*.driver': no(
    'Gantry does not use secret drivers; put the value into Gantry, or create the secret on the cluster and use external: true',
  ),
  'secrets.*.driver_opts': no('Gantry does not use secret drivers; put the value into Gantry'),
  ...pairs('secrets.*.labels'),
  'secrets.*.name': ok('string'),
  'secrets.*.template_driver': ok('string'),
};

const resources = 'services.*.deploy.resources';
const deploy: Record<string, KeyRule> = {
  'services.*.deploy': ok('object|null'),
  'services.*.deploy.mode': ok('string'),
  'services.*.deploy.replicas': ok('integer'),
  'services.*.deploy.endpoint_mode': ok('string'),
  ...pairs('services.*.deploy.labels'),
  'services.*.deploy.placement': ok('object'),
  ...texts('services.*.deploy.placement.constraints'),
  'services.*.deploy.placement.preferences': ok('array'),
  'services.*.deploy.placement.preferences[]': ok('object'),
  'services.*.deploy.placement.preferences[].spread': ok('string'),
  'services.*.deploy.placement.max_replicas_per_node': ok('integer'),
  [resources]: ok('object'),
  [`${resources}.limits`]: ok('object'),
  [`${resources}.limits.cpus`]: ok('number'),
  [`${resources}.limits.memory`]: ok('string|integer'),
  [`${resources}.limits.pids`]: ok('integer'),
  [`${resources}.reservations`]: ok('object'),
  [`${resources}.reservations.cpus`]: ok('number'),
  [`${resources}.reservations.memory`]: ok('string|integer'),
  [`${resources}.reservations.devices`]: no('Swarm reserves devices by kind and number; use generic_resources'),
  [`${resources}.reservations.generic_resources`]: ok('array'),
  [`${resources}.reservations.generic_resources[]`]: ok('object'),
  [`${resources}.reservations.generic_resources[].discrete_resource_spec`]: ok('object'),
  [`${resources}.reservations.generic_resources[].discrete_resource_spec.kind`]: ok('string'),
  [`${resources}.reservations.generic_resources[].discrete_resource_spec.value`]: ok('integer'),
  'services.*.deploy.restart_policy': ok('object'),
  'services.*.deploy.restart_policy.condition': ok('string'),
  'services.*.deploy.restart_policy.delay': ok('string'),
  'services.*.deploy.restart_policy.max_attempts': ok('integer'),
  'services.*.deploy.restart_policy.window': ok('string'),
};
for (const key of ['update_config', 'rollback_config']) {
  const path = `services.*.deploy.${key}`;
  Object.assign(deploy, {
    [path]: ok('object'),
    [`${path}.parallelism`]: ok('integer'),
    [`${path}.delay`]: ok('string'),
    [`${path}.failure_action`]: ok('string'),
    [`${path}.monitor`]: ok('string'),
    [`${path}.max_failure_ratio`]: ok('number'),
    [`${path}.order`]: ok('string'),
  });
}

const mounted: Record<string, KeyRule> = {};
for (const key of ['configs', 'secrets']) {
  const path = `services.*.${key}`;
  Object.assign(mounted, {
    [path]: ok('array'),
    [`${path}[]`]: ok('string|object'),
    [`${path}[].source`]: ok('string'),
    [`${path}[].target`]: ok('string'),
    [`${path}[].uid`]: ok('string|integer'),
    [`${path}[].gid`]: ok('string|integer'),
    [`${path}[].mode`]: ok('string|integer'),
  });
}

const volumeItem = 'services.*.volumes[]';
const service: Record<string, KeyRule> = {
  'services.*': ok('object'),
  'services.*.image': ok('string'),
  ...texts('services.*.command', 'array|string|null'),
  ...texts('services.*.entrypoint', 'array|string|null'),
  ...pairs('services.*.environment'),
  ...pairs('services.*.labels'),
  'services.*.hostname': ok('string'),
  'services.*.user': ok('string|integer'),
  'services.*.group_add': ok('array'),
  'services.*.group_add[]': ok('string|integer'),
  'services.*.working_dir': ok('string'),
  'services.*.stop_signal': ok('string'),
  'services.*.stop_grace_period': ok('string'),
  'services.*.init': ok(flag),
  'services.*.read_only': ok(flag),
  'services.*.tty': ok(flag),
  'services.*.stdin_open': ok(flag),
  'services.*.healthcheck': ok('object'),
  'services.*.healthcheck.disable': ok(flag),
  ...texts('services.*.healthcheck.test', 'array|string'),
  'services.*.healthcheck.interval': ok('string'),
  'services.*.healthcheck.timeout': ok('string'),
  'services.*.healthcheck.start_period': ok('string'),
  'services.*.healthcheck.start_interval': ok('string'),
  'services.*.healthcheck.retries': ok('integer'),
  'services.*.networks': ok(map),
  'services.*.networks[]': ok('string'),
  'services.*.networks.*': ok('object|null'),
  ...texts('services.*.networks.*.aliases'),
  'services.*.networks.*.driver_opts': ok('object'),
  'services.*.networks.*.driver_opts.*': ok('string|number'),
  'services.*.networks.*.ipv4_address': no(ipRemedy),
  'services.*.networks.*.ipv6_address': no(ipRemedy),
  'services.*.networks.*.link_local_ips': no(ipRemedy),
  'services.*.networks.*.mac_address': no(`${nodeOnly}: tasks get an address of their own each`),
  'services.*.networks.*.interface_name': no('Swarm names the interfaces of tasks itself'),
  'services.*.networks.*.gw_priority': no('Swarm chooses the default gateway of tasks itself'),
  'services.*.networks.*.priority': skip('Swarm connects a task to all of its networks at once'),
  'services.*.volumes': ok('array'),
  [volumeItem]: ok('string|object'),
  [`${volumeItem}.type`]: ok('string'),
  [`${volumeItem}.source`]: ok('string'),
  [`${volumeItem}.target`]: ok('string'),
  [`${volumeItem}.read_only`]: ok(flag),
  [`${volumeItem}.consistency`]: skip('it has no meaning on Linux nodes'),
  [`${volumeItem}.bind`]: ok('object'),
  [`${volumeItem}.bind.propagation`]: ok('string'),
  [`${volumeItem}.bind.create_host_path`]: no('Swarm never creates the path of a bind mount; create it on the nodes and remove the key'),
  [`${volumeItem}.bind.recursive`]: no('engines before API 1.44 would not honour it'),
  [`${volumeItem}.bind.selinux`]: no('Swarm can not relabel the path of a bind mount; label it on the nodes'),
  [`${volumeItem}.volume`]: ok('object'),
  [`${volumeItem}.volume.nocopy`]: ok(flag),
  [`${volumeItem}.volume.subpath`]: no('engines before API 1.45 would mount the whole volume instead'),
  [`${volumeItem}.volume.labels`]: no('put the labels on the volume under the top-level volumes'),
  [`${volumeItem}.tmpfs`]: ok('object'),
  [`${volumeItem}.tmpfs.size`]: ok('string|integer'),
  [`${volumeItem}.tmpfs.mode`]: ok('string|integer'),
  [`${volumeItem}.image`]: no('Gantry does not mount images; copy the files into the image of the service'),
  ...texts('services.*.tmpfs', 'array|string'),
  'services.*.ports': ok('array'),
  'services.*.ports[]': ok('string|integer|object'),
  'services.*.ports[].target': ok('integer'),
  'services.*.ports[].published': ok('integer'),
  'services.*.ports[].protocol': ok('string'),
  'services.*.ports[].mode': ok('string'),
  'services.*.ports[].host_ip': no('Swarm publishes a port on every address of a node; remove it, or restrict the port in the firewall'),
  'services.*.ports[].name': skip('it is only a note'),
  'services.*.ports[].app_protocol': skip('it is only a note'),
  ...texts('services.*.cap_add'),
  ...texts('services.*.cap_drop'),
  ...pairs('services.*.sysctls'),
  'services.*.ulimits': ok('object'),
  'services.*.ulimits.*': ok('integer|object'),
  'services.*.ulimits.*.soft': ok('integer'),
  'services.*.ulimits.*.hard': ok('integer'),
  ...texts('services.*.dns', 'array|string'),
  ...texts('services.*.dns_search', 'array|string'),
  ...texts('services.*.dns_opt'),
  'services.*.extra_hosts': ok(map),
  'services.*.extra_hosts[]': ok('string'),
  'services.*.extra_hosts.*': ok('array|string'),
  'services.*.extra_hosts.*[]': ok('string'),
  'services.*.logging': ok('object'),
  'services.*.logging.driver': ok('string'),
  'services.*.logging.options': ok('object'),
  'services.*.logging.options.*': ok('string|number|null'),

  'services.*.build': skip('Gantry deploys images that were pushed; build and push it first'),
  'services.*.container_name': skip('Swarm names the containers of a service, and there may be many; use the service name or an alias'),
  'services.*.depends_on': skip('Swarm starts all services at once; let the program wait for what it needs'),
  'services.*.restart': skip('Swarm uses deploy.restart_policy'),
  'services.*.expose': skip('services on the same network reach every port of each other'),
  'services.*.pull_policy': skip('Gantry pins each image by digest, so a node pulls exactly what it lacks'),
  'services.*.pull_refresh_after': skip('Gantry pins each image by digest'),
  'services.*.attach': skip('it concerns the terminal of docker compose only'),
  'services.*.develop': skip('it concerns docker compose watch only'),

  'services.*.annotations': no(`${nodeOnly}; use labels`),
  'services.*.blkio_config': no(`${nodeOnly}; Swarm does not limit block devices`),
  'services.*.cgroup': no(`${nodeOnly}; each task has a cgroup of its own`),
  'services.*.cgroup_parent': no(`${nodeOnly}; set it in the configuration of the engines`),
  'services.*.cgroupns_mode': no(`${nodeOnly}; set it in the configuration of the engines`),
  'services.*.cpu_count': no(cpuRemedy),
  'services.*.cpu_percent': no(cpuRemedy),
  'services.*.cpu_period': no(cpuRemedy),
  'services.*.cpu_quota': no(cpuRemedy),
  'services.*.cpu_rt_period': no(cpuRemedy),
  'services.*.cpu_rt_runtime': no(cpuRemedy),
  'services.*.cpu_shares': no(cpuRemedy),
  'services.*.cpus': no('Swarm services do not take it; use deploy.resources.limits.cpus'),
  'services.*.cpuset': no(`${nodeOnly}; use deploy.placement to choose nodes`),
  'services.*.credential_spec': no('it is for Windows nodes, which Gantry does not manage'),
  'services.*.device_cgroup_rules': no(`${nodeOnly}; use deploy.resources.reservations.generic_resources`),
  'services.*.devices': no(`${nodeOnly}; use deploy.resources.reservations.generic_resources`),
  'services.*.domainname': no(`${nodeOnly}; write the whole name into hostname`),
  'services.*.env_file': no(`${fileRemedy}; write the values into environment`),
  'services.*.extends': no('Gantry keeps each service whole; use a YAML anchor and merge key (<<)'),
  'services.*.external_links': no('Swarm has no links; join both services to one network'),
  'services.*.gpus': no('Swarm reserves devices by kind and number; use deploy.resources.reservations.generic_resources'),
  'services.*.ipc': no(`${nodeOnly}; tasks have an IPC namespace of their own`),
  'services.*.isolation': no('it is for Windows nodes, which Gantry does not manage'),
  'services.*.label_file': no(`${fileRemedy}; write the values into labels`),
  'services.*.links': no('Swarm has no links; join both services to one network and use the service name or an alias'),
  'services.*.mac_address': no(`${nodeOnly}: tasks get an address of their own each`),
  'services.*.mem_limit': no('Swarm services do not take it; use deploy.resources.limits.memory'),
  'services.*.mem_reservation': no('Swarm services do not take it; use deploy.resources.reservations.memory'),
  'services.*.mem_swappiness': no(`${nodeOnly} before API 1.52`),
  'services.*.memswap_limit': no(limitsRemedy),
  'services.*.models': no('Swarm does not run models; run the model server as a service'),
  'services.*.network_mode': no(
    'Swarm services join networks by name; use networks (an external network named host for the network of the node)',
  ),
  'services.*.oom_kill_disable': no(nodeOnly),
  'services.*.oom_score_adj': no(`${nodeOnly} before API 1.46`),
  'services.*.pid': no(`${nodeOnly}; tasks have a process namespace of their own`),
  'services.*.pids_limit': no('Swarm services do not take it; use deploy.resources.limits.pids'),
  'services.*.platform': no('use the constraints node.platform.os and node.platform.arch in deploy.placement'),
  'services.*.post_start': no(`${nodeOnly}; let the entrypoint of the image do it`),
  'services.*.pre_stop': no(`${nodeOnly}; let the program act on its stop signal`),
  'services.*.privileged': no(`${nodeOnly}; name the capabilities that are needed in cap_add`),
  'services.*.profiles': no('a deployment runs all services of the file; keep optional ones in an application of their own'),
  'services.*.provider': no('Swarm runs containers only; name an image'),
  'services.*.runtime': no(`${nodeOnly}; set the default runtime in the configuration of the engines`),
  'services.*.scale': no('use deploy.replicas'),
  'services.*.security_opt': no(`${nodeOnly} before API 1.44; set it in the configuration of the engines`),
  'services.*.shm_size': no(`${nodeOnly}; mount a tmpfs of that size at /dev/shm`),
  'services.*.storage_opt': no(nodeOnly),
  'services.*.use_api_socket': no('it would hand the engine over to the container'),
  'services.*.userns_mode': no(`${nodeOnly}; set it in the configuration of the engines`),
  'services.*.uts': no(`${nodeOnly}; tasks have a host name of their own`),
  'services.*.volumes_from': no('Swarm has no such thing; declare a volume and mount it in both services'),
};

/** The table: path → rule. Keys are as in the Compose specification of mid-2026 and the stack file format 3.13. */
export const composeKeys: ReadonlyMap<string, KeyRule> = new Map(
  Object.entries({ ...top, ...networks, ...volumes, ...configs, ...secrets, ...service, ...deploy, ...mounted }),
);

/** The paths that have rows below them, to tell a closed object from a free map. */
const closed = new Set<string>();
for (const path of composeKeys.keys()) {
  const dot = path.lastIndexOf('.');
  if (dot > 0 && !/\.\*(\[\])?$/.test(path)) closed.add(path.slice(0, dot));
}

/** The rule of the place `path`, found at the nearest row that speaks for it; null if the key is unknown. */
export function findRule(path: string): KeyRule | null {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const rule = composeKeys.get(at) ?? composeKeys.get(at.replace(/\[\]$/, ''));
    if (rule !== undefined) return at === path || rule.status !== 'supported' ? rule : null;
  }
  return null;
}

/** The path of `key` inside the object at `path`; null if that object has no such key. */
export function childPath(path: string, key: string): string | null {
  const named = path === '' ? key : `${path}.${key}`;
  // A key such as `services.*.image` must not be taken for a path of the table.
  if (/^[a-z0-9_-]+$/.test(key) && composeKeys.has(named)) return named;
  return composeKeys.has(`${path}.*`) && !closed.has(path) ? `${path}.*` : null;
}

/** Names of the keys that the object at `path` may have (not ignored or refused ones), for messages; empty for a free map. */
export function keysOf(path: string): string[] {
  const prefix = path === '' ? '' : `${path}.`;
  const names: string[] = [];
  for (const [at, rule] of composeKeys) {
    const name = at.slice(prefix.length);
    if (at.startsWith(prefix) && rule.status === 'supported' && /^[a-z][a-z0-9_]*$/.test(name)) names.push(name);
  }
  return names;
}
