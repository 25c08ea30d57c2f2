import type { Operation } from '@gantry/access';
import { harmlessLog, plainName } from '../rules';
import {
  base64, bool, containerName, empty, float, from, image, int, isZero, judged, list, map, needs, object, oneOf, refused, spelling, text, textMap, texts, unnamed, uses, words,
  type Found, type Mark, type Shape, type Value,
} from './shape';

/*
 * The JSON bodies of the Docker Engine API, 1.24 to 1.55, member by member. What is not named here is refused; what reaches the host, or an
 * object of somebody else, carries a mark. Containers and services share the parts that they share in the API.
 */

type Owner = 'container' | 'service';

const option = (owner: Owner, name: string): Operation => `${owner}:create:${name}` as Operation;

/** The label by which a create asks for a collection. */
export const collectionLabel = 'io.gantry.collection';

/** Labels: those of Gantry's own are told apart, for they are never taken from a body as they stand. */
const labels = (): Shape => textMap(ownLabels);

const ownLabels: Mark = judged('own-labels', [], 'labels of Gantry’s own (`io.gantry.…`) are judged, never taken as they stand', (value, pointer, found) => {
  for (const [name, member] of members(value)) {
    if (name.toLowerCase().startsWith('io.gantry.')) found.labels.push({ name, value: typeof member === 'string' ? member : '', pointer: `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` });
  }
});

function members(value: Value): [string, Value][] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (Object.entries(value) as [string, Value][]) : [];
}

function member(value: Value, name: string): Value {
  return members(value).find(([key]) => key === name)?.[1] ?? null;
}

const textOf = (value: Value): string => (typeof value === 'string' ? value : '');

// ---- mounts

const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const bindFlags = new Set(['rw', 'ro', 'nocopy', 'z', 'Z', 'consistent', 'cached', 'delegated', 'default']);

/** One entry of `HostConfig.Binds`: `volume:/path[:flags]` and `/path` are volumes; whatever else is a path of the host, or may be read as one. */
function judgeBind(value: Value, pointer: string, found: Found): void {
  const parts = textOf(value).split(':');
  const [source = '', target = '', flags = ''] = parts;
  const absolute = (path: string): boolean => path.startsWith('/');
  if (parts.length === 1 && absolute(source)) return;
  const known = parts.length <= 3 && volumeName.test(source) && absolute(target) && (parts.length === 2 || flags.split(',').every((flag) => bindFlags.has(flag)));
  if (known) found.uses.push({ kind: 'volume', id: source, operation: 'volume:use', pointer });
  else found.needs.push({ operation: 'container:create:bind', pointer });
}

/** One mount of a container or service, as the engine would carry it out, whatever its type says. */
function judgeMount(owner: Owner, value: Value, pointer: string, found: Found): void {
  const type = textOf(member(value, 'Type'));
  const source = textOf(member(value, 'Source'));
  const need = (name: string, at: string): void => {
    found.needs.push({ operation: option(owner, name), pointer: `${pointer}${at}` });
  };
  // Without a type the engine may guess one.
  if (type === 'bind' || type === '') need('bind', '/Type');
  if (type !== 'bind' && !isZero(member(value, 'BindOptions'))) need('bind', '/BindOptions');
  if (type === 'npipe') need('npipe', '/Type');
  if (type === 'cluster') need('mount-cluster', '/Type');
  if (type === 'image') {
    need('mount-image', '/Type');
    found.images.push({ reference: source, how: 'pull', pointer: `${pointer}/Source` });
  }
  if ((type === 'volume' || type === 'cluster') && source !== '') {
    // To the engine a volume source that is a path is a bind mount by another name; and of a template (`{{…}}`) swarm makes any name on the node.
    const group = type === 'cluster' && source.startsWith('group:');
    // Which volumes are of a group, and whose, nobody tells.
    if (group || !plainName.test(source)) need('bind', '/Source');
    else found.uses.push({ kind: 'volume', id: source, operation: 'volume:use', pointer: `${pointer}/Source` });
  }
  if (type === 'tmpfs' && source !== '') need('bind', '/Source');
  const driver = member(member(value, 'VolumeOptions'), 'DriverConfig');
  const name = textOf(member(driver, 'Name'));
  if (name !== '' && name !== 'local') need('volume-driver', '/VolumeOptions/DriverConfig/Name');
  // The local driver mounts whatever `type`, `device` and `o` say: a bind mount, a block device, a file server.
  if (members(member(driver, 'Options')).length > 0) need('volume-options', '/VolumeOptions/DriverConfig/Options');
}

const mounts = (owner: Owner): Shape =>
  list(
    object(
      {
        Target: text(), Source: text(), Type: oneOf(['bind', 'volume', 'tmpfs', 'npipe', 'cluster', 'image']), ReadOnly: bool(),
        Consistency: from(29, oneOf(['default', 'consistent', 'cached', 'delegated'])),
        BindOptions: object({
          Propagation: oneOf(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']), NonRecursive: from(40, bool()), CreateMountpoint: from(42, bool()),
          ReadOnlyNonRecursive: from(44, bool()), ReadOnlyForceRecursive: from(44, bool()),
        }),
        VolumeOptions: object({ NoCopy: bool(), Labels: labels(), DriverConfig: object({ Name: text(), Options: textMap() }), Subpath: from(45, text()) }),
        ImageOptions: from(48, object({ Subpath: text() })),
        TmpfsOptions: object({ SizeBytes: int(), Mode: int(), Options: from(46, list(texts())) }),
        ClusterOptions: unnamed(empty()),
      },
      judged(
        'needs',
        ['bind', 'npipe', 'mount-cluster', 'mount-image', 'volume-driver', 'volume-options'].map((name) => option(owner, name)),
        'by what the engine would mount: type, a source that is a path or a template, driver and driver options; named volumes need `volume:use`',
        (value, pointer, found) => judgeMount(owner, value, pointer, found),
      ),
    ),
  );

// ---- parts that several bodies share

const healthcheck = (): Shape => object({ Test: texts(), Interval: int(), Timeout: int(), Retries: int(), StartPeriod: from(29, int()), StartInterval: from(44, int()) });

/** The image's and container's own configuration: `POST /commit`, and the outer part of `POST /containers/create`. */
const containerConfig = (): Record<string, Shape> => ({
  Hostname: text(), Domainname: text(), User: text(), AttachStdin: bool(), AttachStdout: bool(), AttachStderr: bool(), ExposedPorts: map(empty()), Tty: bool(),
  OpenStdin: bool(), StdinOnce: bool(), Env: texts(), Cmd: words(), Healthcheck: healthcheck(), ArgsEscaped: bool(), Image: text(), Volumes: map(empty()),
  WorkingDir: text(), Entrypoint: words(), NetworkDisabled: bool(), MacAddress: from(25, text(), 51), OnBuild: texts(), Labels: labels(), StopSignal: text(), StopTimeout: int(), Shell: texts(),
});

const devices = 'container:create:devices';
const resources = 'container:create:resources';
/** @param always an empty list says something, too: an update takes away what is there */
const throttle = (member: 'Rate' | 'Weight', always: boolean): Shape => list(object({ Path: text(), [member]: int() }), needs(resources, always ? { says: 'also when empty', always } : {}));
const notNegative = (value: Value): boolean => !(typeof value === 'object' && value !== null && 'source' in value && String(value.source).startsWith('-'));

/** Limits of processes. Two of them are no limits but leave: to go ahead of the host's own processes. */
export const ulimits = (operation: Operation): Shape =>
  list(object({ Name: text(), Soft: int(), Hard: int() }), needs(operation, {
    says: 'for `rtprio` and `nice`', unless: (value) => Array.isArray(value) && !value.some((item) => ['rtprio', 'nice'].includes(textOf(member(item, 'Name')).toLowerCase())),
  }));

/** Limits of a container: part of `HostConfig`, and the whole of `POST /containers/{id}/update`. */
const limits = (isUpdate: boolean): Record<string, Shape> => ({
  CpuShares: int(), Memory: int(), CgroupParent: text(needs('container:create:cgroup')), BlkioWeight: int(),
  BlkioWeightDevice: throttle('Weight', isUpdate),
  BlkioDeviceReadBps: throttle('Rate', isUpdate), BlkioDeviceWriteBps: throttle('Rate', isUpdate), BlkioDeviceReadIOps: throttle('Rate', isUpdate), BlkioDeviceWriteIOps: throttle('Rate', isUpdate),
  CpuPeriod: int(), CpuQuota: int(), CpuRealtimePeriod: int(needs(resources)), CpuRealtimeRuntime: int(needs(resources)), CpusetCpus: text(), CpusetMems: text(),
  Devices: list(object({ PathOnHost: text(), PathInContainer: text(), CgroupPermissions: text() }), needs(devices)),
  DeviceCgroupRules: from(28, texts(needs(devices))),
  DeviceRequests: from(40, list(object({ Driver: text(), Count: int(), DeviceIDs: texts(), Capabilities: list(texts()), Options: textMap() }), needs(devices))),
  DiskQuota: from(24, int(), 39), KernelMemory: from(24, int(), 41), KernelMemoryTCP: from(40, int(), 51), MemoryReservation: int(), MemorySwap: int(), MemorySwappiness: int(),
  NanoCpus: from(25, int()), NanoCPUs: from(27, spelling('NanoCpus', int()), 27), OomKillDisable: bool(needs(resources)), PidsLimit: int(), Init: from(25, bool()),
  Ulimits: ulimits(resources),
  CpuCount: int(), CpuPercent: int(), IOMaximumIOps: int(), IOMaximumBandwidth: int(),
});

const restartPolicy = (): Shape => object({ Name: oneOf(['no', 'always', 'unless-stopped', 'on-failure']), MaximumRetryCount: int() });

/** `container:<name>`, the host's, or harmless: a namespace to share. */
function namespaceMark(operation: Operation, harmless: readonly string[], says: string): Mark {
  return judged('needs', [operation, 'container:exec'], says, (value, pointer, found) => {
    const mode = textOf(value);
    if (harmless.includes(mode)) return;
    if (/^container:[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(mode)) found.uses.push({ kind: 'container', id: mode.slice('container:'.length), operation: 'container:exec', pointer });
    else found.needs.push({ operation, pointer });
  });
}

/** `HostConfig.NetworkMode`, also when it is absent: without one the engine takes its own bridge. */
function judgeNetworkMode(mode: string, pointer: string, found: Found): void {
  if (mode === 'none') return;
  if (mode === '' || mode === 'default' || mode === 'bridge') found.needs.push({ operation: 'container:create:bridge-network', pointer });
  else if (mode === 'host') found.needs.push({ operation: 'container:create:host-network', pointer });
  else if (mode.startsWith('container:')) found.uses.push({ kind: 'container', id: containerName(mode.slice('container:'.length)), operation: 'container:exec', pointer });
  else found.uses.push({ kind: 'network', id: mode, operation: 'network:connect', pointer });
}

const networkMode: Mark = judged(
  'needs', ['container:create:host-network', 'container:create:bridge-network', 'network:connect', 'container:exec'],
  '`host`; the engine’s own bridge (also when absent); a network’s name needs `network:connect` on it, `container:…` needs `container:exec` on that container',
  () => undefined,
);

/** Of `name:alias`, the container. */
const link: Mark = judged('uses', ['container:connect'], 'the container that is linked', (value, pointer, found) => {
  const name = textOf(value).split(':')[0]!;
  if (name !== '') found.uses.push({ kind: 'container', id: containerName(name), operation: 'container:connect', pointer });
});

const endpoint = (): Shape =>
  object({
    IPAMConfig: object({ IPv4Address: text(), IPv6Address: text(), LinkLocalIPs: texts() }), Links: list(text(link)), Aliases: texts(),
    NetworkID: text(uses('network', 'network:connect')), EndpointID: text(), Gateway: text(), IPAddress: text(), IPPrefixLen: int(), IPv6Gateway: text(), GlobalIPv6Address: text(),
    GlobalIPv6PrefixLen: int(), MacAddress: text(), DriverOpts: from(32, textMap(needs('container:create:network-options'))), DNSNames: from(44, texts()), GwPriority: from(48, int()),
  });

const logDriver = (operation: Operation, nameMember: string, optionsMember: string): Mark =>
  needs(operation, {
    says: 'unless the log stays on the node: json-file, local, journald or none, by their own options (what is added to lines, by the first two alone)',
    unless: (value) => {
      const name = textOf(member(value, nameMember));
      const options = Object.fromEntries(members(member(value, optionsMember)).map(([key, text]) => [key, textOf(text)]));
      return harmlessLog({ ...(name === '' ? {} : { Name: name }), Options: options });
    },
  });

const hostConfig = (): Shape =>
  object({
    ...limits(false),
    Binds: list(text(judged('needs', ['container:create:bind', 'volume:use'], 'a path of the host; a named volume needs `volume:use`', judgeBind))),
    ContainerIDFile: text(),
    LogConfig: object({ Type: text(), Config: textMap() }, logDriver('container:create:log-driver', 'Type', 'Config')),
    NetworkMode: text(networkMode),
    PortBindings: map(list(object({ HostIp: text(), HostPort: text() }))),
    RestartPolicy: restartPolicy(),
    AutoRemove: bool(),
    VolumeDriver: text(needs('container:create:volume-driver', { says: 'unless `local`', unless: (value) => value === 'local' })),
    VolumesFrom: list(
      text(
        judged('needs', ['container:create:bind', 'container:filesystem-write'], 'whatever that container mounts comes along, and `container:filesystem-write` on it', (value, pointer, found) => {
          found.needs.push({ operation: 'container:create:bind', pointer });
          found.uses.push({ kind: 'container', id: containerName(textOf(value).split(':')[0]!), operation: 'container:filesystem-write', pointer });
        }, true),
      ),
    ),
    Mounts: mounts('container'),
    ConsoleSize: list(int()),
    Annotations: from(43, textMap(needs('container:create:runtime', { says: 'runtimes take orders from them' }), ownLabels)),
    CapAdd: texts(needs('container:create:capabilities')),
    CapDrop: texts(),
    Capabilities: from(40, texts(needs('container:create:capabilities', { always: true })), 40),
    CgroupnsMode: from(41, text(needs('container:create:cgroup', { says: 'unless `private`', unless: (value) => value === 'private' }))),
    Dns: texts(), DnsOptions: texts(), DnsSearch: texts(), ExtraHosts: texts(), GroupAdd: texts(),
    IpcMode: text(namespaceMark('container:create:ipc', ['none', 'private', 'shareable'], '`host`; `container:…` needs `container:exec` on that container')),
    Cgroup: text(needs('container:create:cgroup')),
    Links: list(text(link)),
    OomScoreAdj: int(needs(resources, { says: 'below 0', unless: notNegative })),
    PidMode: text(namespaceMark('container:create:pid', ['private'], '`host`; `container:…` needs `container:exec` on that container')),
    Privileged: bool(needs('container:create:privileged')),
    PublishAllPorts: bool(), ReadonlyRootfs: bool(),
    SecurityOpt: texts(needs('container:create:security-options', { says: 'unless `no-new-privileges`', unless: (value) => Array.isArray(value) && value.every((item) => ['no-new-privileges', 'no-new-privileges:true', 'no-new-privileges=true'].includes(textOf(item))) })),
    StorageOpt: textMap(needs(resources, { says: 'unless `size`', unless: (value) => members(value).every(([name]) => name === 'size') })),
    Tmpfs: textMap(),
    UTSMode: text(needs('container:create:uts')),
    UsernsMode: text(needs('container:create:user-namespace', { says: 'unless `private`', unless: (value) => value === 'private' })),
    ShmSize: int(),
    Sysctls: textMap(needs('container:create:sysctls')),
    Runtime: text(needs('container:create:runtime')),
    Isolation: oneOf(['default', 'process', 'hyperv']),
    // An empty list masks nothing; only null keeps the engine's own.
    MaskedPaths: from(38, texts(needs('container:create:security-options', { says: 'also when empty', always: true }))),
    ReadonlyPaths: from(38, texts(needs('container:create:security-options', { says: 'also when empty', always: true }))),
  });

/** Body of `POST /containers/create`. */
export const containerCreate: Shape = object(
  {
    ...containerConfig(),
    Image: text(image('run')),
    // Engines before 23.0 read it as the host configuration's.
    Runtime: unnamed(text(needs('container:create:runtime'))),
    HostConfig: hostConfig(),
    NetworkingConfig: object({ EndpointsConfig: { is: 'map', value: endpoint(), max: 100, keyMarks: [uses('network', 'network:connect', { unless: (value) => ['default', 'bridge', 'none', 'host'].includes(textOf(value)) })] } }),
  },
  judged('needs', ['container:create:host-network', 'container:create:bridge-network'], '', (value, pointer, found) => {
    const mode = textOf(member(member(value, 'HostConfig'), 'NetworkMode'));
    judgeNetworkMode(mode, `${pointer}/HostConfig/NetworkMode`, found);
    // The networks of the engine itself can also be joined by naming them as endpoints.
    for (const [name] of members(member(member(value, 'NetworkingConfig'), 'EndpointsConfig'))) {
      if (['default', 'bridge', 'host'].includes(name) && name !== mode) judgeNetworkMode(name, `${pointer}/NetworkingConfig/EndpointsConfig/${name}`, found);
    }
  }, true),
);

/** Body of `POST /containers/{id}/update`. */
export const containerUpdate: Shape = object({ ...limits(true), RestartPolicy: restartPolicy() });

/** Body of `POST /commit`: null or absent leaves the container's own configuration. */
export const commit: Shape = object({ ...containerConfig() });

/** Body of `POST /containers/{id}/exec`. */
export const execCreate: Shape = object({
  AttachStdin: bool(), AttachStdout: bool(), AttachStderr: bool(), DetachKeys: text(), Tty: bool(), Env: texts(), Cmd: texts(), Privileged: bool(needs('container:exec:privileged')), User: text(),
  WorkingDir: from(35, text()), ConsoleSize: from(42, list(int())), Detach: unnamed(bool()),
});

/** Body of `POST /exec/{id}/start`. */
export const execStart: Shape = object({ Detach: bool(), Tty: bool(), ConsoleSize: from(42, list(int())) });

const signsIn: Mark = judged('registry', [], 'the engine itself signs in there; without one, at Docker Hub', () => undefined);

/** Body of `POST /auth`. */
export const auth: Shape = object(
  { username: text(), password: text(), email: from(25, text(), 51), serveraddress: text(signsIn), auth: unnamed(text()), identitytoken: unnamed(text()), registrytoken: unnamed(text()) },
  judged('registry', [], '', (value, pointer, found) => {
    found.registries.push({ address: textOf(member(value, 'serveraddress')), pointer: `${pointer}/serveraddress` });
  }, true),
);

// ---- networks

const harmlessNetworkOptions = new Set(['encrypted', 'com.docker.network.driver.mtu', 'com.docker.network.bridge.enable_icc']);

const unlessOverlay: Mark = judged('needs', ['network:create:options'], 'unless the driver is `overlay`: other networks get a route on the host', () => undefined);

/** All but overlay networks get a route on the host: whoever chooses its addresses takes those of the host's own neighbours, or of a cloud's metadata. */
const addresses: Mark = judged('needs', ['network:create:options'], '', (value, pointer, found) => {
  const chosen = member(member(value, 'IPAM'), 'Config');
  if (textOf(member(value, 'Driver')) !== 'overlay' && Array.isArray(chosen) && !chosen.every(isZero)) found.needs.push({ operation: 'network:create:options', pointer: `${pointer}/IPAM/Config` });
});

/** Body of `POST /networks/create`. */
export const networkCreate: Shape = object(
  {
    Name: text({ ...createsMark('network') }), CheckDuplicate: from(24, bool(), 45),
    Driver: text(needs('network:create:driver', { says: 'unless `bridge` or `overlay`', unless: (value) => value === 'bridge' || value === 'overlay' })),
    Internal: bool(), Attachable: from(25, bool(needs('network:create:attachable'))), Ingress: from(29, bool(needs('network:create:ingress'))), EnableIPv4: from(47, bool()), EnableIPv6: bool(),
    Scope: from(30, oneOf(['local', 'swarm'])), ConfigOnly: from(30, bool(needs('network:create:driver'))),
    ConfigFrom: from(30, object({ Network: text(uses('network', 'network:connect')) }, needs('network:create:driver'))),
    IPAM: object({
      Driver: text(needs('network:create:ipam-driver', { says: 'unless `default`', unless: (value) => value === 'default' })),
      Config: list(object({ Subnet: text(), IPRange: text(), Gateway: text(), AuxiliaryAddresses: textMap(), AuxAddress: unnamed(spelling('AuxiliaryAddresses', textMap())) }), unlessOverlay),
      Options: textMap(needs('network:create:ipam-driver')),
    }),
    Options: textMap(needs('network:create:options', { says: 'unless encryption, MTU or inter-container traffic', unless: (value) => members(value).every(([name]) => harmlessNetworkOptions.has(name)) })),
    Labels: labels(),
  },
  addresses,
);

function createsMark(kind: 'network' | 'volume' | 'service' | 'secret' | 'config'): Mark {
  return judged('creates', [], 'the name of what is made', (value, pointer, found) => {
    found.creates.push({ kind, name: textOf(value), pointer });
  });
}

/** Body of `POST /networks/{id}/connect`. */
export const networkConnect: Shape = object({ Container: text(uses('container', 'container:connect')), EndpointConfig: endpoint() });

/** Body of `POST /networks/{id}/disconnect`. */
export const networkDisconnect: Shape = object({ Container: text(uses('container', 'container:disconnect')), Force: bool() });

// ---- volumes

const topology = (): Shape => object({ Requisite: list(object({ Segments: textMap() })), Preferred: list(object({ Segments: textMap() })) });
const capacity = (): Shape => object({ RequiredBytes: int(), LimitBytes: int() });
const volumeSecrets = (): Shape => list(object({ Key: text(), Secret: text(uses('secret', 'secret:use')) }));
const availability = (): Shape => oneOf(['active', 'pause', 'drain']);

/** ClusterVolumeSpec. The API documents nest in `AccessMode` what engines read beside it; both are taken. */
const clusterVolume = (...marks: Mark[]): Shape =>
  object({
    Group: text(),
    AccessMode: object({
      Scope: oneOf(['single', 'multi']), Sharing: oneOf(['none', 'readonly', 'onewriter', 'all']), MountVolume: object({ FsType: unnamed(text()), MountFlags: unnamed(texts()) }), BlockVolume: unnamed(empty()),
      Secrets: volumeSecrets(), AccessibilityRequirements: topology(), CapacityRange: capacity(), Availability: availability(),
    }),
    Secrets: unnamed(volumeSecrets()), AccessibilityRequirements: unnamed(topology()), CapacityRange: unnamed(capacity()), Availability: unnamed(availability()),
  }, ...marks);

/** Body of `POST /volumes/create`. */
export const volumeCreate: Shape = object({
  Name: text(createsMark('volume')), Driver: text(needs('volume:create:driver', { says: 'unless `local`', unless: (value) => value === 'local' })),
  DriverOpts: textMap(needs('volume:create:options', { says: 'the local driver mounts whatever `type`, `device` and `o` say' })), Labels: labels(),
  ClusterVolumeSpec: from(42, clusterVolume(needs('volume:create:driver'))),
});

/** Body of `PUT /volumes/{name}`. */
export const volumeUpdate: Shape = object({ Spec: clusterVolume() });

// ---- secrets and configs

const noTemplate = refused('templates read what the service may use, and are not taken', { says: 'templates are not taken' });
const templating = (): Shape => from(37, object({ Name: text(), Options: textMap() }, noTemplate));

/** Body of `POST /secrets/create` and `POST /secrets/{id}/update`; `Data` is base64 of at most 500 KiB. */
export const secretSpec: Shape = object({
  Name: text(createsMark('secret')), Labels: labels(), Data: base64(512_000),
  Driver: from(31, object({ Name: text(), Options: textMap() }, refused('secrets come from the caller, not from a driver', { says: 'secret drivers are not taken' }))), Templating: templating(),
});

/** Body of `POST /configs/create` and `POST /configs/{id}/update`; `Data` is base64 of at most 1,000 KiB. */
export const configSpec: Shape = object({ Name: text(createsMark('config')), Labels: labels(), Data: base64(1_024_000), Templating: templating() });

// ---- services

const genericResources = (): Shape =>
  list(object({ NamedResourceSpec: object({ Kind: text(), Value: text() }), DiscreteResourceSpec: object({ Kind: text(), Value: int() }) }), needs('service:create:devices'));
const privileges = 'service:create:privileges';
const defaultMode = (value: Value): boolean => ['', 'default'].includes(textOf(member(value, 'Mode'))) && isZero(member(value, 'Profile'));
const file = (): Shape => object({ Name: text(), UID: text(), GID: text(), Mode: int() });

const updateConfig = (): Shape =>
  object({ Parallelism: int(), Delay: int(), FailureAction: oneOf(['continue', 'pause', 'rollback']), Monitor: int(), MaxFailureRatio: float(), Order: from(29, oneOf(['stop-first', 'start-first'])) });

const attachments = (): Shape =>
  list(
    object({
      Target: text(
        judged('needs', ['service:create:host-network', 'network:connect'], '`host`; any other network needs `network:connect` on it', (value, pointer, found) => {
          if (value === 'host') found.needs.push({ operation: 'service:create:host-network', pointer });
          else found.uses.push({ kind: 'network', id: textOf(value), operation: 'network:connect', pointer });
        }),
      ),
      Aliases: texts(), DriverOpts: from(39, textMap(needs('service:create:network-options'))),
    }),
  );

const containerSpec = (): Shape =>
  object({
    Image: text(image('run')), Labels: labels(), Command: texts(), Args: texts(), Hostname: from(25, text()), Env: texts(), Dir: text(), User: text(), Groups: from(25, texts()),
    Privileges: from(30, object({
      CredentialSpec: object({ Config: from(40, text(uses('config', 'config:use'))), File: text(), Registry: text() }, needs(privileges)),
      SELinuxContext: object({ Disable: bool(), User: text(), Role: text(), Type: text(), Level: text() }, needs(privileges)),
      Seccomp: from(44, object({ Mode: oneOf(['default', 'unconfined', 'custom']), Profile: base64(1_024_000) }, needs(privileges, { says: 'unless `default`', unless: defaultMode }))),
      AppArmor: from(44, object({ Mode: oneOf(['default', 'disabled']) }, needs(privileges, { says: 'unless `default`', unless: defaultMode }))),
      NoNewPrivileges: from(44, bool()),
    })),
    TTY: bool(), OpenStdin: from(25, bool()), ReadOnly: from(26, bool()), Mounts: mounts('service'), StopSignal: from(28, text()), StopGracePeriod: int(),
    // The documents write it with a capital C; engines write it so.
    Healthcheck: unnamed(healthcheck()), HealthCheck: from(26, spelling('Healthcheck', healthcheck())),
    Hosts: from(26, texts()), DNSConfig: object({ Nameservers: texts(), Search: texts(), Options: texts() }),
    Secrets: from(25, list(object({ File: file(), SecretID: text(uses('secret', 'secret:use')), SecretName: text() }))),
    Configs: from(30, list(object({ File: file(), Runtime: from(40, empty()), ConfigID: text(uses('config', 'config:use')), ConfigName: text() }))),
    OomScoreAdj: from(46, int(needs('service:create:resources', { says: 'below 0', unless: notNegative }))),
    Isolation: from(35, oneOf(['default', 'process', 'hyperv'])), Init: from(38, bool()), Sysctls: from(40, textMap(needs('service:create:sysctls'))),
    CapabilityAdd: from(41, texts(needs('service:create:capabilities'))), CapabilityDrop: from(41, texts()), Ulimits: from(41, ulimits('service:create:resources')),
  });

const pluginPrivileges = (): Shape => list(object({ Name: text(), Description: text(), Value: texts() }));
const manage = needs('plugin:manage', { always: true });

const taskTemplate = (): Shape =>
  object({
    // Engines read these names in small letters; the documents write them large.
    PluginSpec: from(31, object({
      name: unnamed(text()), Name: spelling('name', text()), remote: unnamed(text()), Remote: spelling('remote', text()), disabled: unnamed(bool()), Disabled: spelling('disabled', bool()),
      privileges: unnamed(list(object({ name: unnamed(text()), Name: spelling('name', text()), description: unnamed(text()), Description: spelling('description', text()), value: unnamed(texts()), Value: spelling('value', texts()) }))),
      PluginPrivilege: spelling('privileges', pluginPrivileges()), env: unnamed(texts()),
    }, manage)),
    ContainerSpec: containerSpec(),
    NetworkAttachmentSpec: from(38, object({ ContainerID: text() }, refused('engines write this themselves', { always: true }))),
    Resources: object({
      Limits: object({ NanoCPUs: int(), MemoryBytes: int(), Pids: from(41, int()), GenericResources: from(32, genericResources(), 40) }),
      Reservations: object({ NanoCPUs: int(), MemoryBytes: int(), GenericResources: from(32, genericResources()) }),
      SwapBytes: from(52, int()), MemorySwappiness: from(52, int()),
    }),
    RestartPolicy: object({ Condition: oneOf(['none', 'on-failure', 'any']), Delay: int(), MaxAttempts: int(), Window: int() }),
    Placement: object({
      Constraints: texts(), Preferences: from(27, list(object({ Spread: object({ SpreadDescriptor: text() }) }))), MaxReplicas: from(40, int()),
      Platforms: from(30, list(object({ Architecture: text(), OS: text() }))),
    }),
    ForceUpdate: from(25, int()),
    Runtime: from(30, text(judged('needs', ['plugin:manage'], 'unless `container`', (value, pointer, found) => {
      if (value === 'plugin') found.needs.push({ operation: 'plugin:manage', pointer });
      else if (value !== 'container') found.errors.push({ pointer, detail: '`container` or `plugin`' });
    }))),
    Networks: attachments(),
    LogDriver: object({ Name: text(), Options: textMap() }, logDriver('service:create:log-driver', 'Name', 'Options')),
  });

/** Body of `POST /services/create` and `POST /services/{id}/update`: one shape, so that neither judges less than the other. */
export const serviceSpec: Shape = object({
  Name: text(createsMark('service')), Labels: labels(), TaskTemplate: taskTemplate(),
  Mode: object({ Replicated: object({ Replicas: int() }), Global: empty(), ReplicatedJob: from(41, object({ MaxConcurrent: int(), TotalCompletions: int() })), GlobalJob: from(41, empty()) }),
  UpdateConfig: updateConfig(), RollbackConfig: from(28, updateConfig()), Networks: attachments(),
  EndpointSpec: object({
    Mode: oneOf(['vip', 'dnsrr']),
    Ports: list(object({ Name: text(), Protocol: oneOf(['tcp', 'udp', 'sctp']), TargetPort: int(), PublishedPort: int(), PublishMode: from(32, oneOf(['ingress', 'host'])) })),
  }),
});

// ---- nodes, the swarm, plugins

/** Body of `POST /nodes/{id}/update`. */
export const nodeUpdate: Shape = object({
  Name: text(), Labels: labels(),
  Role: oneOf(['worker', 'manager'], judged('needs', ['node:update:role'], 'when it changes: a manager can do everything', (_value, pointer, found) => {
    found.needs.push({ operation: 'node:update:role', pointer, ifChanged: true });
  })),
  Availability: availability(),
});

const swarmSpec = (): Record<string, Shape> => ({
  Name: text(), Labels: textMap(), Orchestration: object({ TaskHistoryRetentionLimit: int() }),
  Raft: object({ SnapshotInterval: int(), KeepOldSnapshots: int(), LogEntriesForSlowFollowers: int(), ElectionTick: int(), HeartbeatTick: int() }),
  Dispatcher: object({ HeartbeatPeriod: int() }),
  CAConfig: object({
    NodeCertExpiry: int(), ExternalCAs: list(object({ Protocol: text(), URL: text(), Options: textMap(), CACert: from(30, text()) })), SigningCACert: from(30, text()), SigningCAKey: from(30, text()), ForceRotate: from(30, int()),
  }),
  EncryptionConfig: from(25, object({ AutoLockManagers: bool() })), TaskDefaults: object({ LogDriver: object({ Name: text(), Options: textMap() }) }),
});

/** Body of `POST /swarm/update`. */
export const swarmUpdate: Shape = object(swarmSpec());

/** Body of `POST /swarm/init`. */
export const swarmInit: Shape = object({
  ListenAddr: text(), AdvertiseAddr: text(), DataPathAddr: from(30, text()), DataPathPort: from(40, int()), DefaultAddrPool: from(39, texts()), ForceNewCluster: bool(), SubnetSize: from(39, int()), Spec: object(swarmSpec()),
  AutoLockManagers: unnamed(bool()), Availability: unnamed(availability()),
});

/** Body of `POST /swarm/join`. */
export const swarmJoin: Shape = object({ ListenAddr: text(), AdvertiseAddr: text(), DataPathAddr: from(30, text()), RemoteAddrs: texts(), JoinToken: text(), Availability: unnamed(availability()) });

/** Body of `POST /swarm/unlock`. */
export const swarmUnlock: Shape = object({ UnlockKey: text() });

/** Body of `POST /plugins/pull` and `POST /plugins/{name}/upgrade`: what the plugin is granted. */
export const pluginGrants: Shape = pluginPrivileges();

/** Body of `POST /plugins/{name}/set`. */
export const pluginSettings: Shape = texts();
