import type { EngineRow } from '@gantry/clusters';
import type { Choices } from './choices';
import { Members, node, objectsIn, write, Written, type Node } from './json';
import type { Account, Own, Pool } from './world';

type Shape = Extract<EngineRow['body'], { is: 'json' }>['shape'];

/** A change to a body: where, and what is put there. */
type Edit = readonly [path: string, value: (pool: Pool, account: Account) => unknown];

/** A number above which JavaScript would round. */
const big = new Written('9007199254740993');
const foreign = (pool: Pool, index = 0): Pool['foreign'][number] => pool.foreign[index % pool.foreign.length]!;
/** A stranger's container in the words of `container:…`. */
const joined = (pool: Pool): string => `container:${foreign(pool).container.name}`;
/** The device says whose wish it was: what an engine makes of it has no labels. */
const bindOptions = (pool: Pool, { name }: Account): unknown => ({ type: 'none', o: 'bind', device: `${pool.host.folder}/${name}` });

/** Mounts that reach the host, or somebody else's volume. Nothing ever writes below their targets. */
const hostMounts: Edit[1][] = [
  ({ host }) => [{ Type: 'bind', Source: host.folder, Target: '/reach' }],
  ({ host }) => [{ Type: '', Source: host.folder, Target: '/reach' }],
  ({ host }) => [{ Source: host.folder, Target: '/reach' }],
  ({ host }) => [{ Type: 'volume', Source: host.folder, Target: '/reach' }],
  ({ host, batch }, { name }) => [{ Type: 'volume', Source: `fresh-${name}-${batch}`, Target: '/reach', BindOptions: { Propagation: 'rshared' } }, { Type: 'bind', Source: host.folder, Target: '/reach2' }],
  (pool, account) => [{ Type: 'volume', Target: '/reach', VolumeOptions: { DriverConfig: { Name: 'local', Options: bindOptions(pool, account) } } }],
  (pool, account) => [{ Type: 'volume', Source: `new-${account.name}-${pool.batch}`, Target: '/reach', VolumeOptions: { DriverConfig: { Options: bindOptions(pool, account) } } }],
  () => [{ Type: 'volume', Target: '/reach', VolumeOptions: { DriverConfig: { Name: 'other' } } }],
  (pool) => [{ Type: 'volume', Source: foreign(pool).volume, Target: '/reach' }],
  ({ host }) => [{ Type: 'tmpfs', Source: host.folder, Target: '/reach' }],
  () => [{ Type: 'npipe', Source: '\\\\.\\pipe\\docker_engine', Target: '/reach' }],
  (pool) => [{ Type: 'image', Source: pool.images.others[0], Target: '/reach' }],
  (pool) => [{ Type: 'cluster', Source: foreign(pool).volume, Target: '/reach' }],
  ({ host }) => [{ Type: 'BIND', Source: host.folder, Target: '/reach' }],
];

const images: Edit[1][] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8].map((index): Edit[1] => (pool) => pool.images.others[index % pool.images.others.length]),
  () => '', () => null, (pool) => pool.images.signed.toUpperCase(), (pool) => `${pool.images.signed} `, (pool) => pool.images.signedDigest,
];

const label = (name: string): ((value: (pool: Pool) => string) => Edit) => (value) => [name, value];
const labels = [
  label('Labels.io.gantry.collection')(() => '/System'), label('Labels.io.gantry.collection')(() => '/'), label('Labels.io.gantry.collection')(() => '/shop'),
  label('Labels.io.gantry.collection')(() => '/nothing'), label('Labels.io.gantry.claim')(() => '00000000-0000-7000-8000-000000000000'), label('Labels.io.gantry.seal')(() => 'x'),
  label('Labels.IO.GANTRY.collection')(() => '/System'), label('Labels.com.docker.swarm.service.id')((pool) => foreign(pool).service.id),
  label('Labels.io.gantry.claim')((pool) => foreign(pool, 1).container.id),
];

/** Options of a container that reach the host or something of others, each by a name that is a path into the body. */
const containerOptions: readonly Edit[] = [
  ['HostConfig.Privileged', () => true],
  ...[(pool: Pool) => [`${pool.host.folder}:/reach`], (pool: Pool) => [`${pool.host.folder}:/reach:ro,rshared`], () => ['/:/reach'], () => ['/var/run/docker.sock:/reach'], () => ['../..:/reach'],
    (pool: Pool) => [`${foreign(pool).volume}:/reach`], () => ['a:/reach:x'], (pool: Pool) => [`//${pool.host.folder}/.:/reach`], () => ['C:\\:/reach']].map((value): Edit => ['HostConfig.Binds', value]),
  ...hostMounts.map((value): Edit => ['HostConfig.Mounts', value]),
  ...['host', 'container:self', 'HOST', ' host', 'host ', 'bridge\u0000', 'ingress', 'docker_gwbridge'].map((value): Edit => ['HostConfig.NetworkMode', () => value]),
  ['HostConfig.NetworkMode', joined], ['HostConfig.NetworkMode', (pool) => foreign(pool).network.name], ['HostConfig.NetworkMode', (pool) => foreign(pool, 1).network.id.slice(0, 12)],
  ...['PidMode', 'IpcMode', 'UTSMode', 'UsernsMode', 'CgroupnsMode', 'Cgroup'].flatMap((name): Edit[] => [[`HostConfig.${name}`, () => 'host'], [`HostConfig.${name}`, joined], [`HostConfig.${name}`, (pool) => `container:${foreign(pool, 1).container.id}`]]),
  ...['ALL', 'SYS_ADMIN', 'CAP_SYS_PTRACE', 'all'].map((value): Edit => ['HostConfig.CapAdd', () => [value]]),
  ['HostConfig.Capabilities', () => ['CAP_SYS_ADMIN']],
  ['HostConfig.Devices', () => [{ PathOnHost: '/dev/null', PathInContainer: '/dev/reach', CgroupPermissions: 'rwm' }]], ['HostConfig.DeviceCgroupRules', () => ['c 1:3 rwm']],
  ['HostConfig.DeviceRequests', () => [{ Count: -1, Capabilities: [['gpu']] }]],
  ...['seccomp=unconfined', 'apparmor=unconfined', 'label=disable', 'systempaths=unconfined', 'no-new-privileges:false', 'seccomp:unconfined'].map((value): Edit => ['HostConfig.SecurityOpt', () => [value]]),
  ['HostConfig.SecurityOpt', () => ['no-new-privileges', 'seccomp=unconfined']],
  ['HostConfig.VolumesFrom', (pool) => [foreign(pool).container.name]], ['HostConfig.VolumesFrom', (pool) => [`${foreign(pool, 1).container.id}:ro`]], ['HostConfig.VolumesFrom', (_, account) => [account.own?.container.name ?? 'x']],
  ['HostConfig.Runtime', () => 'runc'], ['HostConfig.Runtime', () => 'io.containerd.runc.v2'], ['Runtime', () => 'runc'], ['HostConfig.CgroupParent', () => 'reach'],
  ['HostConfig.Sysctls', () => ({ 'net.ipv4.ip_forward': '1' })], ['HostConfig.Sysctls', () => ({ 'kernel.shmmax': '' })],
  ['HostConfig.MaskedPaths', () => []], ['HostConfig.ReadonlyPaths', () => []], ['HostConfig.Links', (pool) => [`${foreign(pool).container.name}:x`]],
  ['HostConfig.LogConfig', () => ({ Type: 'syslog', Config: { 'syslog-address': 'udp://127.0.0.1:9' } })], ['HostConfig.LogConfig', () => ({ Config: { 'gelf-address': 'udp://127.0.0.1:9' } })],
  ['HostConfig.VolumeDriver', () => 'other'], ['HostConfig.StorageOpt', () => ({ 'dm.thinpooldev': 'x' })], ['HostConfig.Annotations', () => ({ 'io.katacontainers.x': 'y' })],
  ['HostConfig.OomScoreAdj', () => -999], ['HostConfig.OomKillDisable', () => true], ['HostConfig.CpuRealtimeRuntime', () => 1], ['HostConfig.BlkioWeightDevice', () => [{ Path: '/dev/null', Weight: 10 }]],
  ...['host', 'bridge', 'ingress'].map((name): Edit => ['NetworkingConfig.EndpointsConfig', () => ({ [name]: {} })]),
  ['NetworkingConfig.EndpointsConfig', (pool) => ({ [foreign(pool).network.name]: {} })], ['NetworkingConfig.EndpointsConfig', (pool) => ({ x: { NetworkID: foreign(pool).network.id } })],
  ...images.map((value): Edit => ['Image', value]), ...labels,
];

/** What goes through: without these nothing would ever be tried on the engine. */
const containerWishes: readonly Edit[] = [
  ['Cmd', () => ['/bin/sleep', '1000']], ['Env', () => ['A=b', 'LONG=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx']], ['Hostname', () => 'here'], ['User', () => '1:1'], ['Labels', () => ({ a: 'b' })], ['Tty', () => true],
  ['HostConfig.Memory', () => 64_000_000], ['HostConfig.RestartPolicy', () => ({ Name: 'on-failure', MaximumRetryCount: 1 })], ['HostConfig.CapDrop', () => ['ALL']], ['HostConfig.ReadonlyRootfs', () => true],
  ['HostConfig.NetworkMode', (_, { own }) => own?.network.name ?? 'none'], ['HostConfig.NetworkMode', (_, { own }) => own?.network.id ?? 'none'], ['HostConfig.NetworkMode', () => 'bridge'], ['HostConfig.NetworkMode', () => ''],
  ['HostConfig.Binds', (_, { own }) => [`${own?.volume ?? 'x'}:/data`]], ['HostConfig.Mounts', (_, { own }) => [{ Type: 'volume', Source: own?.volume ?? 'x', Target: '/data' }, { Type: 'tmpfs', Target: '/t' }]],
  ['HostConfig.Mounts', (pool, { name }) => [{ Type: 'volume', Source: `fz-${name}-${pool.batch}-mounted`, Target: '/data' }]], ['HostConfig.SecurityOpt', () => ['no-new-privileges']], ['HostConfig.Init', () => true],
  ['HostConfig.IpcMode', () => 'private'], ['HostConfig.PidMode', (_, { own }) => `container:${own?.container.name ?? 'x'}`], ['HostConfig.Ulimits', () => [{ Name: 'nofile', Soft: 1024, Hard: 1024 }]], ['Volumes', () => ({ '/v': {} })],
  ['HostConfig.PortBindings', () => ({ '8080/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] })], ['HostConfig.NetworkMode', (_, { own }) => `container:${own?.container.id ?? 'x'}`],
];

const inSpec = (path: string): string => `TaskTemplate.ContainerSpec.${path}`;
const serviceOptions: readonly Edit[] = [
  ...hostMounts.map((value): Edit => [inSpec('Mounts'), value]),
  [inSpec('CapabilityAdd'), () => ['ALL']], [inSpec('Sysctls'), () => ({ 'net.ipv4.ip_forward': '1' })], [inSpec('Privileges'), () => ({ SELinuxContext: { Disable: true } })],
  [inSpec('Privileges'), () => ({ CredentialSpec: { File: 'x' } })], [inSpec('Privileges'), () => ({ Seccomp: { Mode: 'unconfined' } })], [inSpec('Privileges'), () => ({ AppArmor: { Mode: 'disabled' } })],
  [inSpec('Privileges'), (pool) => ({ CredentialSpec: { Config: foreign(pool).config.id } })],
  [inSpec('Secrets'), (pool) => [{ File: { Name: 'x', UID: '0', GID: '0', Mode: 292 }, SecretID: foreign(pool).secret.id, SecretName: foreign(pool).secret.name }]],
  [inSpec('Secrets'), (pool, { own }) => [{ File: { Name: 'x', UID: '0', GID: '0', Mode: 292 }, SecretID: foreign(pool, 1).secret.id, SecretName: own?.secret.name ?? 'x' }]],
  [inSpec('Configs'), (pool) => [{ File: { Name: 'x', UID: '0', GID: '0', Mode: 292 }, ConfigID: foreign(pool).config.id, ConfigName: foreign(pool).config.name }]],
  [inSpec('Env'), () => ['A={{.Node.ID}}']], [inSpec('OomScoreAdj'), () => -1], ...images.map((value): Edit => [inSpec('Image'), value]),
  ['TaskTemplate.Networks', () => [{ Target: 'host' }]], ['Networks', () => [{ Target: 'host' }]], ['TaskTemplate.Networks', (pool) => [{ Target: foreign(pool).network.id }]], ['Networks', (pool) => [{ Target: foreign(pool, 1).network.name }]],
  ['TaskTemplate.Networks', () => [{ Target: 'ingress' }]], ['TaskTemplate.Runtime', () => 'plugin'], ['TaskTemplate.PluginSpec', () => ({ name: 'x', remote: 'x', privileges: [] })],
  ['TaskTemplate.NetworkAttachmentSpec', (pool) => ({ ContainerID: foreign(pool).container.id })], ['TaskTemplate.LogDriver', () => ({ Name: 'syslog', Options: { 'syslog-address': 'udp://127.0.0.1:9' } })],
  ['TaskTemplate.Resources', () => ({ Reservations: { GenericResources: [{ DiscreteResourceSpec: { Kind: 'GPU', Value: 1 } }] } })], ...labels,
  [inSpec('Labels'), () => ({ 'io.gantry.collection': '/System' })],
];
const serviceWishes: readonly Edit[] = [
  ['Labels', () => ({ a: 'b' })], [inSpec('Env'), () => ['A=b']], [inSpec('Command'), () => ['/bin/sleep', '1000']], [inSpec('Labels'), () => ({ a: 'b' })], ['TaskTemplate.ForceUpdate', () => 1], ['Mode', () => ({ Replicated: { Replicas: 1 } })],
  [inSpec('Secrets'), (_, { own }) => [{ File: { Name: 'x', UID: '0', GID: '0', Mode: 292 }, SecretID: own?.secret.id ?? 'x', SecretName: own?.secret.name ?? 'x' }]],
  [inSpec('Configs'), (_, { own }) => [{ File: { Name: 'x', UID: '0', GID: '0', Mode: 292 }, ConfigID: own?.config.id ?? 'x', ConfigName: own?.config.name ?? 'x' }]],
  [inSpec('Mounts'), (_, { own }) => [{ Type: 'volume', Source: own?.volume ?? 'x', Target: '/data' }]], ['TaskTemplate.Placement', () => ({ Constraints: ['node.role==manager'] })], ['UpdateConfig', () => ({ Parallelism: 1 })],
  ['TaskTemplate.RestartPolicy', () => ({ Condition: 'none' })], ['TaskTemplate.Resources', () => ({ Limits: { MemoryBytes: 64_000_000 } })],
];

const networkOptions: readonly Edit[] = [
  ['Driver', () => 'bridge'], ['Driver', () => ''], ['IPAM', () => ({ Config: [{ Subnet: '10.218.1.0/24' }] })], ['IPAM', () => ({ Driver: 'default', Config: [{}, { Subnet: '10.218.2.0/24', Gateway: '10.218.2.9' }] })],
  ...['macvlan', 'host', 'null', 'ipvlan', 'other', 'BRIDGE'].map((value): Edit => ['Driver', () => value]), ['Ingress', () => true], ['ConfigOnly', () => true], ['ConfigFrom', (pool) => ({ Network: foreign(pool).network.name })],
  ['IPAM.Driver', () => 'other'], ['IPAM.Options', () => ({ a: 'b' })], ['Options', () => ({ 'com.docker.network.bridge.name': 'docker0' })], ['Options', () => ({ 'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0' })],
  ['Options', () => ({ parent: 'eth0' })], ['Name', (pool) => foreign(pool).network.name], ['Name', (pool) => foreign(pool).network.id], ['Name', () => 'host'], ['CheckDuplicate', () => false], ...labels,
];
const volumeOptions: readonly Edit[] = [
  ['Driver', () => 'other'], ['DriverOpts', bindOptions], ['DriverOpts', () => ({ type: 'nfs', o: 'addr=127.0.0.1', device: ':/' })], ['DriverOpts', () => ({ device: '' })], ['ClusterVolumeSpec', () => ({ Group: 'x' })],
  ['Name', (pool) => foreign(pool).volume], ['Name', () => '../x'], ['Name', ({ host }) => host.folder], ...labels,
];
const secretOptions: readonly Edit[] = [['Driver', () => ({ Name: 'x' })], ['Templating', () => ({ Name: 'golang' })], ['Name', (pool) => foreign(pool).secret.name], ['Name', (pool) => foreign(pool).secret.id], ...labels];
const configOptions: readonly Edit[] = [['Templating', () => ({ Name: 'golang' })], ['Name', (pool) => foreign(pool).config.name], ['Name', (pool) => foreign(pool).config.id], ...labels];

const plainService = (account: Account, pool: Pool, name: string): unknown => ({
  Name: name, TaskTemplate: { ContainerSpec: { Image: pool.images.signed } }, Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'dnsrr' }, ...collection(account),
});
const plainSecret = (account: Account, _pool: Pool, name: string): unknown => ({ Name: name, Data: 'YQ==', Labels: {}, ...collection(account) });

/** What a role on a collection of its own gives; who has none gets nothing. */
function collection(account: Account): { Labels?: Record<string, string> } {
  const [shared] = Object.keys(account.collections).filter((path) => !path.startsWith('/Shared/'));
  return shared === undefined ? {} : { Labels: { 'io.gantry.collection': shared } };
}

/** A network of the host takes addresses of its caller's choice only from who may reach the host; engines have few of their own to choose from. */
function network(account: Account, name: string): object {
  const chosen = { IPAM: { Config: [{ Subnet: `10.${214 + 'nrsf'.indexOf(account.name[0]!)}.${name.slice(-1)}.0/24` }] } };
  if (Object.values(account.collections).includes(true)) return chosen;
  return /[0-2]$/.test(name) ? {} : { Driver: 'overlay', ...chosen };
}

interface Plan {
  plain: (account: Account, pool: Pool, name: string) => unknown;
  wishes: readonly Edit[];
  options: readonly Edit[];
}

const owned = (own: Own | null, kind: 'container' | 'network'): string => own?.[kind].name ?? 'nothing';
const plans: Readonly<Record<string, Plan>> = {
  'POST /containers/create': { plain: (account, pool) => ({ Image: pool.images.signed, HostConfig: { NetworkMode: 'none' }, ...collection(account) }), wishes: containerWishes, options: containerOptions },
  'POST /containers/{id}/update': {
    plain: () => ({ Memory: 64_000_000, MemorySwap: -1 }), wishes: [['RestartPolicy', () => ({ Name: 'no' })], ['CpuShares', () => 512]],
    options: containerOptions.filter(([path]) => path.startsWith('HostConfig.')).map(([path, value]) => [path.slice('HostConfig.'.length), value]),
  },
  'POST /containers/{id}/exec': { plain: () => ({ Cmd: ['/bin/true'], AttachStdout: true }), wishes: [['Tty', () => true], ['Env', () => ['A=b']], ['User', () => '1']], options: [['Privileged', () => true], ['Cmd', () => []], ['User', () => '\u0000']] },
  'POST /exec/{id}/start': { plain: () => ({ Detach: false, Tty: false }), wishes: [['Detach', () => true]], options: [['Tty', () => 'x'], ['ConsoleSize', () => [1, 2]]] },
  'POST /services/create': { plain: plainService, wishes: serviceWishes, options: serviceOptions },
  'POST /services/{id}/update': { plain: (account, pool) => plainService(account, pool, account.own?.service.name ?? 'x'), wishes: serviceWishes, options: serviceOptions },
  'POST /networks/create': { plain: (account, _pool, name) => ({ Name: name, ...network(account, name), ...collection(account) }), wishes: [['Internal', () => true], ['Driver', () => 'overlay'], ['Attachable', () => true], ['Labels', () => ({ a: 'b' })]], options: networkOptions },
  'POST /networks/{id}/connect': {
    plain: ({ own }) => ({ Container: owned(own, 'container') }), wishes: [['EndpointConfig', () => ({ Aliases: ['x'] })]],
    options: [['Container', (pool) => foreign(pool).container.name], ['Container', (pool) => foreign(pool, 1).container.id], ['EndpointConfig', () => ({ DriverOpts: { a: 'b' } })], ['EndpointConfig', (pool) => ({ Links: [foreign(pool).container.name] })]],
  },
  'POST /networks/{id}/disconnect': { plain: ({ own }) => ({ Container: owned(own, 'container'), Force: true }), wishes: [['Force', () => false]], options: [['Container', (pool) => foreign(pool).container.name], ['Container', (pool) => foreign(pool).container.id.slice(0, 12)]] },
  'POST /volumes/create': { plain: (account, _pool, name) => ({ Name: name, ...collection(account) }), wishes: [['Labels', () => ({ a: 'b' })], ['Driver', () => 'local'], ['Name', () => '']], options: volumeOptions },
  'POST /secrets/create': { plain: plainSecret, wishes: [['Labels', () => ({ a: 'b' })]], options: secretOptions },
  'POST /configs/create': { plain: plainSecret, wishes: [['Labels', () => ({ a: 'b' })]], options: configOptions },
  'POST /secrets/{id}/update': { plain: ({ own }) => ({ Name: own?.secret.name ?? 'x', Labels: { a: 'b' } }), wishes: [['Labels', () => ({})]], options: secretOptions },
  'POST /configs/{id}/update': { plain: ({ own }) => ({ Name: own?.config.name ?? 'x', Labels: { a: 'b' } }), wishes: [['Labels', () => ({})]], options: configOptions },
  'POST /auth': { plain: (_account, pool) => ({ username: 'somebody', password: 'something', serveraddress: pool.registry }), wishes: [], options: [['serveraddress', () => ''], ['serveraddress', () => 'https://127.0.0.1:9'], ['serveraddress', () => null]] },
  'POST /nodes/{id}/update': { plain: () => ({ Role: 'manager', Availability: 'active' }), wishes: [], options: [['Role', () => 'worker'], ['Availability', () => 'drain'], ['Labels', () => ({ a: 'b' })]] },
};

/** Members that would keep the machine busy instead of the gateway: they keep to what is small. */
const heavy = new Set(['IPAM', 'Replicas', 'MaxConcurrent', 'TotalCompletions', 'Interval', 'StartInterval', 'CgroupParent', 'Binds', 'Source', 'Mounts', 'device', 'WorkingDir', 'Dir', 'HostPort', 'PublishedPort', 'Ports', 'PortBindings', 'Healthcheck', 'HealthCheck', 'Devices', 'Global', 'GlobalJob']);
const numbers: readonly Node[] = [0, 1, -1, 2147483648, big, new Written('9223372036854775807'), new Written('-9223372036854775808'), new Written('9223372036854775808'), new Written('1e3'), new Written('1.0'), new Written('-0'), new Written('1e400'), new Written('01')];
const strings: readonly Node[] = ['', 'a', 'host', '/', '..', 'a:b', 'none', new Written('"\\ud800"'), new Written('"\\u0000"'), 'x'.repeat(200), '\u212a\u017f', '{{.Env}}', '-', 'true', '0', 'ALL'];

/** Something that a shape may allow, or nearly. */
function fromShape(choices: Choices, shape: Shape, depth: number): Node {
  if (choices.chance(30)) return choices.of<Node>([null, 'x', 1, true, new Members([]), []]);
  switch (shape.is) {
    case 'string':
      return choices.of<Node>([...(shape.oneOf ?? []), ...strings]);
    case 'integer':
    case 'number':
      return choices.of(numbers);
    case 'boolean':
      return choices.of([false, true]);
    case 'words':
      return choices.of<Node>(['/bin/true', ['/bin/true'], []]);
    case 'list':
      return depth > 4 ? [] : Array.from({ length: choices.below(3) }, () => fromShape(choices, shape.item, depth + 1));
    case 'map':
      return new Members(depth > 4 ? [] : Array.from({ length: choices.below(3) }, (): [string, Node] => [choices.of(['a', '', 'host', 'net.core.somaxconn', 'io.gantry.x', '8080/tcp', '/x', '__proto__']), fromShape(choices, shape.value, depth + 1)]));
    case 'object': {
      const names = Object.keys(shape.members).filter((name) => !heavy.has(name));
      if (names.length === 0) return new Members([]);
      return new Members(Array.from({ length: depth > 4 ? 0 : choices.below(3) }, (): [string, Node] => {
        const name = choices.of(names);
        return [name, fromShape(choices, shape.members[name]!, depth + 1)];
      }));
    }
  }
}

/** One random member somewhere in the shape, put into the body. */
function scatter(choices: Choices, shape: Shape, body: Members): void {
  const path: string[] = [];
  let at: Shape = shape;
  while (at.is === 'object') {
    const names: string[] = Object.keys(at.members).filter((name) => !heavy.has(name));
    if (names.length === 0) break;
    const name = choices.of(names);
    path.push(name);
    at = at.members[name]!;
    if (at.is === 'object' && choices.chance(200)) break;
  }
  if (path.length > 0) body.put(path, fromShape(choices, at, 1));
}

const folds: readonly ((name: string) => string)[] = [(name) => name.toLowerCase(), (name) => name.toUpperCase(), (name) => name.replace(/s/i, '\u017f'), (name) => name.replace(/k/i, '\u212a'), (name) => `${name} `, (name) => `${name}\u0000`, (name) => `${name[0]?.toLowerCase() ?? ''}${name.slice(1)}`];
/** Made anew each time, for whoever puts it somewhere may change it. */
const reach = (): Node => node({ Privileged: true, Binds: ['/:/reach'], Mounts: [{ Type: 'bind', Source: '/', Target: '/reach' }], CapabilityAdd: ['ALL'] });

/** Names as no strict reader takes them: in other cases, twice, unknown. */
function trickKeys(choices: Choices, body: Node): void {
  const objects = objectsIn(body);
  if (objects.length === 0) return;
  const object = choices.of(objects);
  const member = object.list.length > 0 ? choices.of(object.list) : undefined;
  switch (choices.below(7)) {
    case 0:
      if (member) member[0] = choices.of(folds)(member[0]);
      break;
    case 1:
      if (member) object.list.push([member[0], choices.of<Node>([member[1], null, reach(), 'x'])]);
      break;
    case 2:
      if (member) object.list.unshift([choices.of(folds)(member[0]), choices.of<Node>([member[1], reach()])]);
      break;
    case 3:
      object.list.push([choices.of(['Unknown', '', '__proto__', 'constructor', 'toString', 'x'.repeat(300)]), choices.of<Node>([reach(), null, 1])]);
      break;
    case 4:
      object.list.push([choices.of(['hostconfig', 'HOSTCONFIG', 'Host\u0043onfig ', 'ho\u017ftconfig']), reach()]);
      break;
    case 5:
      object.list.push([choices.of(['HostConfig', 'Privileged', 'Mounts', 'Binds']), choices.of<Node>([reach(), true, ['/:/reach']])]);
      break;
    default:
      if (member) member[1] = choices.of<Node>([null, 1, 'x', true, [], new Members([]), big, new Written('1e9999'), [member[1]], new Written('nul'), new Written("'x'"), new Written('"\\ud800\\ud800"'), new Written('[1,]')]);
  }
}

/** Texts that are not quite JSON, or more than it. */
const texts: readonly ((text: string) => string | Buffer)[] = [
  (text) => `${text}{}`, (text) => `${text} ${text}`, (text) => `\ufeff${text}`, (text) => text.slice(0, -1), (text) => `${text}\u0000`, (text) => Buffer.concat([Buffer.from(text.slice(0, 3)), Buffer.from([0xff, 0xc0, 0x80]), Buffer.from(text.slice(3))]),
  (text) => `${'['.repeat(2_000)}${text}`, (text) => `${text.slice(0, -1)},"a":${'['.repeat(300)}${']'.repeat(300)}}`, (text) => `[${text}]`, (text) => `// \n${text}`, (text) => text.replaceAll('"', '\''), (text) => `${text}\n\n  `,
  (text) => JSON.stringify(text), (text) => Buffer.from(text, 'utf16le'), () => '', () => 'null', () => '{}', (text) => `${' '.repeat(3_000)}${text}`, (text) => text.replace(':', ':\u00a0'), (text) => `${text.slice(0, -1)},}`, (text) => `a=${encodeURIComponent(text)}`,
  (text) => `${text.slice(0, -1)},"x":${'9'.repeat(5_000)}}`, (text) => text.replace('"', '"\\u0048'),
];

/** How many tricks a body gets: most have none, or it would never be read to its end. */
export interface BodyOptions {
  wishes: number;
  options: number;
  tricks: number;
  texts: number;
}

/** The body of a JSON row, for `account`, of things that it may have or not. */
export function jsonBody(choices: Choices, row: EngineRow, shape: Shape, account: Account, pool: Pool, name: string, want: BodyOptions): Buffer {
  const plan = plans[row.name];
  const body: Node = plan ? node(plan.plain(account, pool, name)) : fromShape(choices, shape, 0);
  if (body instanceof Members) {
    const edit = ([path, value]: Edit): void => body.put(steps(path), node(value(pool, account)));
    if (plan && plan.wishes.length > 0) for (let count = choices.below(want.wishes + 1); count > 0; count -= 1) edit(choices.of(plan.wishes));
    for (let count = want.options; count > 0; count -= 1) {
      if (plan && plan.options.length > 0 && !choices.chance(120)) edit(choices.of(plan.options));
      else scatter(choices, shape, body);
    }
    if (Object.keys(account.collections).length > 1 && choices.chance(300)) edit(['Labels.io.gantry.collection', () => choices.of(Object.keys(account.collections))]);
  }
  for (let count = want.tricks; count > 0; count -= 1) trickKeys(choices, body);
  const text = write(body);
  return Buffer.from(want.texts > 0 ? choices.of(texts)(text) : text);
}

/** Names of labels have dots of their own. */
function steps(path: string): string[] {
  const at = path.indexOf('Labels.');
  return at < 0 ? path.split('.') : [...path.slice(0, at).split('.').filter(Boolean), 'Labels', path.slice(at + 'Labels.'.length)];
}
