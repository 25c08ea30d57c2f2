import type { ComposeFile } from './model';
import { pointerTo } from './notice';

/** What a service asks of the node beyond an ordinary container. */
export type HostOption = 'bind-mount' | 'volume-driver' | 'capability' | 'sysctl' | 'host-network' | 'network-driver' | 'logging-driver';

/** One such wish: `detail` names it (a path, a capability, a driver), never an option's value; `pointer` is its place in the file. */
export interface HostAffecting {
  service: string;
  option: HostOption;
  detail: string;
  pointer: string;
}

/** Drivers whose output stays with the container; every other one sends it from the node's own network or reads the node's files. */
const containedLogDrivers = ['json-file', 'local', 'none'];
const nodeNetworks = ['host', 'bridge', 'none', 'docker_gwbridge'];

/**
 * The options by which a service could reach the node it runs on, in the order of services and of the file, for a policy to judge.
 * Judged by effect: a volume is a bind mount if its driver's options make it one, and a network is the node's if its name is.
 * External volumes and networks are made outside of the file: see `externalObjects`.
 */
export function hostAffecting(file: ComposeFile): HostAffecting[] {
  const found: HostAffecting[] = [];
  for (const [name, service] of Object.entries(file.services)) {
    const base = pointerTo('/services', name);
    const add = (option: HostOption, detail: string, pointer: string) => found.push({ service: name, option, detail, pointer });
    for (const mount of service.mounts) {
      if (mount.type === 'bind') add('bind-mount', mount.source ?? '', mount.pointer);
      const volume =
        mount.type === 'volume' && mount.source !== undefined && Object.hasOwn(file.volumes, mount.source)
          ? file.volumes[mount.source]
          : undefined;
      if (volume === undefined || mount.source === undefined) continue;
      const driver = volume.driver ?? 'local';
      const at = pointerTo('/volumes', mount.source);
      if (driver !== 'local') add('volume-driver', driver, pointerTo(at, 'driver'));
      else if (!isContained(volume.driverOpts)) add('volume-driver', 'local with options', pointerTo(at, 'driver_opts'));
    }
    for (const capability of service.capAdd) add('capability', capability, `${base}/cap_add`);
    for (const sysctl of Object.keys(service.sysctls)) add('sysctl', sysctl, `${base}/sysctls`);
    for (const { name: network } of service.networks) {
      const declared = Object.hasOwn(file.networks, network) ? file.networks[network] : undefined;
      const target = declared?.name ?? (declared?.external === true ? network : undefined);
      if (target !== undefined && nodeNetworks.includes(target)) add('host-network', target, pointerTo('/networks', network));
      if (declared?.driver !== undefined && declared.driver !== 'overlay')
        add('network-driver', declared.driver, `${pointerTo('/networks', network)}/driver`);
      if (declared?.ipamDriver !== undefined && declared.ipamDriver !== 'default') {
        add('network-driver', declared.ipamDriver, `${pointerTo('/networks', network)}/ipam/driver`);
      }
    }
    // Options without a driver go to whatever driver the engine has as its default.
    if (service.logging !== undefined && !(service.logging.driver === undefined && Object.keys(service.logging.options).length === 0)) {
      const driver = service.logging.driver;
      const harmless = Object.keys(service.logging.options).every((key) =>
        /^(max-size|max-file|compress|labels|labels-regex|env|env-regex|tag|mode|max-buffer-size)$/.test(key),
      );
      if (driver === undefined ? !harmless : !containedLogDrivers.includes(driver))
        add('logging-driver', driver ?? 'default with options', `${base}/logging`);
    }
  }
  return found;
}

/** A tmpfs is the only thing that options of the local driver can mount without touching the node or its network. */
function isContained(options: Record<string, string>): boolean {
  const keys = Object.keys(options);
  if (keys.length === 0) return true;
  const { type, device, o = '' } = { type: undefined, device: undefined, ...options } as Record<string, string | undefined>;
  return (
    keys.every((key) => ['type', 'device', 'o'].includes(key)) &&
    type === 'tmpfs' &&
    device === 'tmpfs' &&
    o.split(',').every((one) => /^((size|mode|uid|gid|nr_inodes)=\w+%?|nosuid|nodev|noexec|noatime|)$/.test(one))
  );
}

/** An object on the cluster that the file reaches by a name of its own choice, so perhaps another stack's. */
export interface ExternalObject {
  kind: 'network' | 'volume' | 'config' | 'secret';
  /** Name on the cluster; of a config or secret that is not external, the name before its content suffix. */
  name: string;
  /** True if it must exist already; false if it would be created under that name. */
  external: boolean;
  pointer: string;
}

/** External objects and objects with an explicit `name`: the caller judges whether this stack may use them. */
export function externalObjects(file: ComposeFile): ExternalObject[] {
  const sections = { networks: 'network', volumes: 'volume', configs: 'config', secrets: 'secret' } as const;
  return (Object.keys(sections) as (keyof typeof sections)[]).flatMap((section) =>
    Object.entries(file[section])
      .filter(([, object]) => object.external || object.name !== undefined)
      .map(([key, object]) => ({
        kind: sections[section],
        name: object.name ?? key,
        external: object.external,
        pointer: pointerTo(`/${section}`, key),
      })),
  );
}
