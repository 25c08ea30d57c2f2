import fc from 'fast-check';
import { isOperation, type Operation } from '@gantry/access';
import { Problem, writeStrictJson } from '@gantry/platform';
import { matchEngineCall } from './match';
import { ruleOnCall, type EngineRuling } from './rule';
import { engineTable } from './table';

function rule(call: string, body?: unknown): EngineRuling {
  const [method, target] = call.split(' ') as [string, string];
  const match = matchEngineCall(method, target);
  if (match.row === null) throw new Error(`${call}: ${match.message}`);
  const ruling = ruleOnCall(match, body === undefined ? new Uint8Array() : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
  // A difference would print the whole table.
  return Object.defineProperty(ruling, 'row', { enumerable: false });
}

function refusal(call: string, body?: unknown): string[] {
  try {
    rule(call, body);
    return [];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.code).toBe('clusters.spec-invalid');
    return error.errors.map(({ pointer }) => pointer);
  }
}

const needs = (ruling: EngineRuling): string[] => ruling.needs.map(({ operation, pointer }) => `${operation} ${pointer}`);
const uses = (ruling: EngineRuling): string[] => ruling.uses.map(({ operation, id, pointer }) => `${operation} ${id} ${pointer}`);
const written = (ruling: EngineRuling): unknown => JSON.parse(writeStrictJson(ruling.body));

const create = 'POST /v1.41/containers/create?name=web';
/** A container that asks for nothing but a network of its own. */
const plain = (host: object = {}, more: object = {}): object => ({ Image: 'acme/web:1', ...more, HostConfig: { NetworkMode: 'shop', ...host } });
const service = (container: object = {}, task: object = {}): object => ({ Name: 'web', TaskTemplate: { ContainerSpec: { Image: 'acme/web:1', ...container }, ...task } });

describe('a container', () => {
  it('that the stock client makes with its defaults asks for its image, its network and the bridge alone', () => {
    // As `docker run -it alpine sh` of 28 sends it to an engine of API 1.41.
    const body = {
      Hostname: '', Domainname: '', User: '', AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, OpenStdin: true, StdinOnce: true, Env: null, Cmd: ['sh'], Image: 'alpine', Volumes: {}, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: {},
      HostConfig: {
        Binds: null, ContainerIDFile: '', LogConfig: { Type: '', Config: {} }, NetworkMode: 'default', PortBindings: {}, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 }, AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [24, 80],
        CapAdd: null, CapDrop: null, CgroupnsMode: '', Dns: [], DnsOptions: [], DnsSearch: [], ExtraHosts: null, GroupAdd: null, IpcMode: '', Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false, ReadonlyRootfs: false,
        SecurityOpt: null, UTSMode: '', UsernsMode: '', ShmSize: 0, Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0, CgroupParent: '', BlkioWeight: 0, BlkioWeightDevice: [], BlkioDeviceReadBps: [], BlkioDeviceWriteBps: [], BlkioDeviceReadIOps: [],
        BlkioDeviceWriteIOps: [], CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: [], DeviceCgroupRules: null, DeviceRequests: null, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: -1,
        OomKillDisable: false, PidsLimit: 0, Ulimits: [], CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0, MaskedPaths: null, ReadonlyPaths: null,
      },
      NetworkingConfig: { EndpointsConfig: { default: { IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', DriverOpts: null, GwPriority: 0, NetworkID: '', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DNSNames: null } } },
    };
    const ruling = rule(create, body);
    expect(needs(ruling)).toEqual(['container:create:bridge-network /HostConfig/NetworkMode']);
    expect(ruling.uses).toEqual([]);
    expect(ruling).toMatchObject({ images: [{ reference: 'alpine', how: 'run', pointer: '/Image' }], creates: [{ kind: 'container', name: 'web' }], operations: ['container:create'], query: '?name=web', stream: false, target: null });
    expect(written(ruling)).toEqual(body);
  });

  const options: [string, object][] = [
    ['privileged', { Privileged: true }], ['capabilities', { CapAdd: ['NET_ADMIN'] }], ['capabilities', { Capabilities: [] }], ['devices', { Devices: [{ PathOnHost: '/dev/sda' }] }], ['devices', { DeviceCgroupRules: ['a *:* rwm'] }],
    ['devices', { DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] }], ['host-network', { NetworkMode: 'host' }], ['bridge-network', { NetworkMode: 'bridge' }], ['bridge-network', { NetworkMode: '' }], ['ipc', { IpcMode: 'host' }], ['ipc', { IpcMode: 'container:' }],
    ['pid', { PidMode: 'host' }], ['pid', { PidMode: 'HOST' }], ['uts', { UTSMode: 'host' }], ['user-namespace', { UsernsMode: 'host' }], ['cgroup', { CgroupParent: '/' }], ['cgroup', { CgroupnsMode: 'host' }], ['cgroup', { Cgroup: 'host' }],
    ['security-options', { SecurityOpt: ['seccomp=unconfined'] }], ['security-options', { SecurityOpt: ['no-new-privileges', 'label=disable'] }], ['security-options', { SecurityOpt: ['no-new-privileges=false'] }], ['security-options', { MaskedPaths: [] }],
    ['security-options', { ReadonlyPaths: [] }], ['sysctls', { Sysctls: { 'net.ipv4.ip_forward': '1' } }], ['sysctls', { Sysctls: { 'kernel.domainname': '' } }], ['log-driver', { LogConfig: { Config: { 'syslog-address': '' } } }], ['runtime', { Annotations: { a: '' } }], ['runtime', { Runtime: 'kata' }], ['runtime', { Annotations: { 'run.oci.keep_original_groups': '1' } }], ['log-driver', { LogConfig: { Type: 'syslog', Config: {} } }],
    ['log-driver', { LogConfig: { Type: 'journald', Config: { labels: 'container_id_full' } } }], ['log-driver', { LogConfig: { Type: '', Config: { tag: 'sshd' } } }], ['resources', { Ulimits: [{ Name: 'nofile', Soft: 1 }, { Name: 'rtprio', Soft: 99, Hard: 99 }] }], ['resources', { Ulimits: [{ Name: 'nice', Soft: 40, Hard: 40 }] }],
    ['log-driver', { LogConfig: { Type: '', Config: { 'syslog-address': 'tcp://x' } } }], ['volume-driver', { VolumeDriver: 'nfs' }], ['resources', { OomKillDisable: true }], ['resources', { OomScoreAdj: -900 }], ['resources', { CpuRealtimeRuntime: 1 }],
    ['resources', { BlkioDeviceReadBps: [{ Path: '/dev/sda', Rate: 1 }] }], ['resources', { StorageOpt: { size: '1G', x: 'y' } }],
    ['bind', { Binds: ['/:/host'] }], ['bind', { Binds: ['data:/data', '/var/run/docker.sock:/s:ro'] }], ['bind', { Binds: ['./x:/x'] }], ['bind', { Binds: ['~/x:/x'] }], ['bind', { Binds: ['c:\\x:/x'] }], ['bind', { Binds: ['\\\\.\\pipe\\docker_engine:\\\\.\\pipe\\docker_engine'] }],
    ['bind', { Binds: ['data:/x:rshared'] }], ['bind', { Binds: ['data:x'] }], ['bind', { Binds: ['data:/x:ro:/y'] }], ['bind', { Binds: ['.:/x'] }], ['bind', { Binds: ['x\n:/x'] }],
    ['bind', { Mounts: [{ Type: 'bind', Source: '/etc', Target: '/x' }] }], ['bind', { Mounts: [{ Type: 'volume', Source: '/etc', Target: '/x' }] }], ['bind', { Mounts: [{ Type: 'volume', Source: '..\\x', Target: '/x' }] }],
    ['bind', { Mounts: [{ Type: 'volume', Source: 'v', Target: '/x', BindOptions: { Propagation: 'rshared' } }] }], ['bind', { Mounts: [{ Type: '', Source: '/etc', Target: '/x' }] }], ['bind', { Mounts: [{ Source: '/etc', Target: '/x' }] }],
    ['npipe', { Mounts: [{ Type: 'npipe', Source: '\\\\.\\pipe\\x', Target: 'x' }] }], ['mount-cluster', { Mounts: [{ Type: 'cluster', Source: 'v', Target: '/x' }] }], ['mount-image', { Mounts: [{ Type: 'image', Source: 'alpine', Target: '/x' }] }],
    ['volume-options', { Mounts: [{ Type: 'volume', Source: 'v', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'local', Options: { type: 'none', o: 'bind', device: '/' } } } }] }],
    ['volume-options', { Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { DriverConfig: { Options: { device: '' } } } }] }],
    ['volume-options', { Mounts: [{ Type: 'tmpfs', Target: '/x', VolumeOptions: { DriverConfig: { Options: { o: 'bind' } } } }] }],
    ['volume-driver', { Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'nfs' } } }] }], ['bind', { VolumesFrom: ['other:ro'] }], ['bind', { VolumesFrom: [''] }],
  ];
  it.each(options)('needs container:create:%s for %j', (option, host) => {
    expect(isOperation(`container:create:${option}`)).toBe(true);
    expect(rule(create, plain(host)).needs.map(({ operation }) => operation)).toEqual([`container:create:${option}`]);
  });

  it.each([
    { Binds: ['data:/data', 'data2:/x:ro,z', '/anonymous'] }, { Mounts: [{ Type: 'volume', Source: 'v', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'local', Options: {} }, Subpath: 'a' } }, { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1, Options: [['noexec']] } }] },
    { Tmpfs: { '/t': 'rw,noexec' }, SecurityOpt: ['no-new-privileges:true'], LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } }, VolumeDriver: 'local' }, { IpcMode: 'private', PidMode: 'private', UsernsMode: 'private', CgroupnsMode: 'private' },
    { OomScoreAdj: 500, Memory: 1, Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 1 }], StorageOpt: { size: '1G' }, CapDrop: ['ALL'], ShmSize: 1, Init: true, AutoRemove: true, PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } }, { NetworkMode: 'none' },
  ])('needs nothing more for %j', (host) => {
    expect(needs(rule(create, plain(host)))).toEqual([]);
  });

  it('names the objects that it uses', () => {
    expect(uses(rule(create, plain({
      Binds: ['data:/data:ro'], Mounts: [{ Type: 'volume', Source: 'v', Target: '/x' }], IpcMode: 'container:a', PidMode: 'container:b', Links: ['/c:db'], VolumesFrom: ['d:ro'],
    }, { NetworkingConfig: { EndpointsConfig: { shop: { NetworkID: 'n1' }, back: null } } })))).toEqual([
      'network:connect n1 /NetworkingConfig/EndpointsConfig/shop/NetworkID', 'network:connect shop /NetworkingConfig/EndpointsConfig/shop', 'network:connect back /NetworkingConfig/EndpointsConfig/back',
      'volume:use data /HostConfig/Binds/0', 'volume:use v /HostConfig/Mounts/0/Source', 'container:exec a /HostConfig/IpcMode', 'container:exec b /HostConfig/PidMode', 'container:connect c /HostConfig/Links/0',
      'container:filesystem-write d /HostConfig/VolumesFrom/0', 'network:connect shop /HostConfig/NetworkMode',
    ]);
    expect(needs(rule(create, plain({}, { NetworkingConfig: { EndpointsConfig: { host: {} } } })))).toEqual(['container:create:host-network /NetworkingConfig/EndpointsConfig/host']);
    // On Windows the engine's own; here a name like any other.
    expect([uses(rule(create, plain({ NetworkMode: 'nat' }))), uses(rule('POST /build?t=x&networkmode=nat'))]).toEqual([['network:connect nat /HostConfig/NetworkMode'], ['network:connect nat ?networkmode']]);
    expect(needs(rule(create, plain({ Mounts: [{ Type: 'cluster', Source: 'group:x', Target: '/x' }] })))).toEqual(['container:create:mount-cluster /HostConfig/Mounts/0/Type', 'container:create:bind /HostConfig/Mounts/0/Source']);
    expect(uses(rule(create, plain({ NetworkMode: 'container:/x' })))).toEqual(['container:exec x /HostConfig/NetworkMode']);
    expect(rule('POST /containers/create?name=/web', plain()).creates).toEqual([{ kind: 'container', name: 'web', pointer: '?name' }]);
    expect(uses(rule(create, plain({ NetworkMode: 'container:x' })))).toEqual(['container:exec x /HostConfig/NetworkMode']);
  });

  it.each([
    ['a body that is none', '', ['']], ['null', 'null', ['']], ['a list', '[]', ['']], ['another case', { image: 'x' }, ['/image']], ['another case inside', { Image: 'x', HostConfig: { binds: ['/:/h'] } }, ['/HostConfig/binds']],
    ['a long s', '{"Image":"x","HostConfig":{"Bind\u017f":["/:/h"]}}', ['/HostConfig/Bind\u017f']], ['both cases', '{"Image":"x","HostConfig":{"Binds":[],"bindS":["/:/h"]}}', ['/HostConfig/bindS']],
    ['host options in the outer part, which old engines read', { Image: 'x', Binds: ['/:/h'], Privileged: true }, ['/Binds', '/Privileged']], ['two bodies', '{"Image":"x"}{"Image":"y"}', ['']],
    ['a wrong type', { Image: 1, Env: 'A=1', Tty: 'yes', StopTimeout: 1.5, Labels: { a: 1 } }, ['/Image', '/Env', '/Tty', '/StopTimeout', '/Labels/a']], ['an unknown kind of mount', { HostConfig: { Mounts: [{ Type: 'Bind' }] } }, ['/HostConfig/Mounts/0/Type']],
    ['an integer beyond 64 bits', '{"HostConfig":{"Memory":9223372036854775808}}', ['/HostConfig/Memory']], ['a NUL', { Image: 'a\u0000b' }, ['/Image']], ['__proto__', '{"__proto__":{"Privileged":true}}', ['/__proto__']], ['a wrong nesting', { HostConfig: { Mounts: {} } }, ['/HostConfig/Mounts']],
  ] as [string, unknown, string[]][])('is refused for %s', (_what, body, pointers) => {
    expect(refusal(create, body)).toEqual(pointers);
  });

  it('keeps integers as they were sent, and writes nothing that it did not read', () => {
    const text = '{"HostConfig":{"NetworkMode":"none","Memory":9007199254740993},"Image":"x"}';
    expect(writeStrictJson(rule(create, ` ${text}\n`).body)).toBe(text);
    expect(writeStrictJson(rule(create, '{"HostConfig":{"NetworkMode":"none","NanoCPUs":5}}').body)).toBe('{"HostConfig":{"NetworkMode":"none","NanoCpus":5}}');
  });

  it('may not bring labels of Gantry’s own but the collection', () => {
    const ruling = rule(create, plain({}, { Labels: { 'io.gantry.collection': '/prod', 'io.gantry.deployment': 'x', 'IO.gantry.x': '', other: '1' } }));
    expect(rule(create, plain({}, { Labels: { 'io.gantry.deployment': '' } })).labels).toHaveLength(1);
    expect(ruling.asksFor).toBe('/prod');
    expect(ruling.labels.map(({ name }) => name)).toEqual(['io.gantry.collection', 'io.gantry.deployment', 'IO.gantry.x']);
    expect(rule('POST /services/create', service({ Labels: { 'io.gantry.collection': '/x' } })).asksFor).toBeNull();
  });

  it('is judged as strictly when it is updated', () => {
    // Newer engines take limits away by empty lists.
    expect(needs(rule('POST /containers/web/update', { BlkioDeviceWriteBps: [], BlkioWeightDevice: [], BlkioDeviceReadIOps: null }))).toEqual(['container:create:resources /BlkioDeviceWriteBps', 'container:create:resources /BlkioWeightDevice']);
    expect(needs(rule('POST /containers/web/update', { Memory: 1, Devices: [{ PathOnHost: '/dev/sda' }], CgroupParent: '/x', OomKillDisable: true }))).toEqual([
      'container:create:devices /Devices', 'container:create:cgroup /CgroupParent', 'container:create:resources /OomKillDisable',
    ]);
    expect(refusal('POST /containers/web/update', { Privileged: true, Binds: ['/:/h'] })).toEqual(['/Privileged', '/Binds']);
    expect(rule('POST /containers/web/update', { Memory: 1 }).target).toEqual({ kind: 'container', id: 'web', pointer: '{name}' });
    expect(rule('POST /containers/web/rename?name=db')).toMatchObject({ creates: [{ kind: 'container', name: 'db', pointer: '?name' }], target: { id: 'web' } });
  });

  it('runs commands, with privileges only for who may', () => {
    expect(rule('POST /containers/web/exec', { Cmd: ['sh'], Tty: true }).needs).toEqual([]);
    expect(needs(rule('POST /containers/web/exec', { Cmd: ['sh'], Privileged: true }))).toEqual(['container:exec:privileged /Privileged']);
    expect(rule('POST /exec/0123/start', { Detach: false, Tty: true })).toMatchObject({ operations: ['container:exec'], target: { kind: 'exec', id: '0123' } });
    expect(refusal('POST /exec/0123/start', { Privileged: true })).toEqual(['/Privileged']);
  });

  it('starts without a body and without checkpoints', () => {
    for (const nothing of ['', '{}', 'null', ' {} ']) expect(refusal('POST /containers/web/start', nothing)).toEqual([]);
    expect(refusal('POST /containers/web/start', { Binds: ['/:/h'] })).toEqual(['']);
    expect(refusal('POST /containers/web/start?checkpoint=x&checkpoint-dir=/etc')).toEqual(['?checkpoint', '?checkpoint-dir']);
  });
});

describe.each(['POST /services/create', 'POST /v1.41/services/web/update?version=7'])('a service: %s', (call) => {
  const options: [Operation, object, object?][] = [
    ['service:create:bind', { Mounts: [{ Type: 'volume', Source: '{{"bobs-data"}}', Target: '/x' }] }], ['service:create:bind', { Mounts: [{ Type: 'volume', Source: 'vic{{""}}tim', Target: '/x' }] }], ['service:create:bind', { Mounts: [{ Type: 'volume', Source: '{{.Service.Labels.v}}', Target: '/x' }] }],
    ['service:create:bind', { Mounts: [{ Type: 'bind', Source: '/', Target: '/h' }] }], ['service:create:bind', { Mounts: [{ Type: 'volume', Source: '/', Target: '/h' }] }], ['service:create:npipe', { Mounts: [{ Type: 'npipe', Source: 'x', Target: 'x' }] }],
    ['service:create:volume-options', { Mounts: [{ Type: 'volume', Source: 'v', Target: '/h', VolumeOptions: { DriverConfig: { Options: { type: 'none', o: 'bind', device: '/' } } } }] }],
    ['service:create:volume-driver', { Mounts: [{ Type: 'volume', Source: 'v', Target: '/h', VolumeOptions: { DriverConfig: { Name: 'nfs' } } }] }], ['service:create:mount-cluster', { Mounts: [{ Type: 'cluster', Source: 'v', Target: '/h' }] }],
    ['service:create:mount-image', { Mounts: [{ Type: 'image', Source: 'alpine', Target: '/h' }] }], ['service:create:capabilities', { CapabilityAdd: ['ALL'] }], ['service:create:sysctls', { Sysctls: { a: '1' } }],
    ['service:create:privileges', { Privileges: { CredentialSpec: { File: 'x' } } }], ['service:create:privileges', { Privileges: { SELinuxContext: { Disable: true } } }], ['service:create:privileges', { Privileges: { Seccomp: { Mode: 'unconfined' } } }],
    ['service:create:privileges', { Privileges: { AppArmor: { Mode: 'disabled' } } }], ['service:create:resources', { OomScoreAdj: -1 }], ['service:create:devices', {}, { Resources: { Reservations: { GenericResources: [{ NamedResourceSpec: { Kind: 'gpu', Value: 'x' } }] } } }],
    ['service:create:log-driver', {}, { LogDriver: { Name: 'fluentd', Options: {} } }], ['service:create:host-network', {}, { Networks: [{ Target: 'host' }] }], ['plugin:manage', {}, { Runtime: 'plugin' }], ['plugin:manage', {}, { PluginSpec: {} }],
    ['plugin:manage', {}, { PluginSpec: { remote: 'x', privileges: [{ name: 'mount', value: ['/'] }] } }],
  ];
  it.each(options.map(([operation, container, task]) => [operation, container, task ?? {}] as const))('needs %s for %j %j', (operation, container, task) => {
    expect(rule(call, service(container, task)).needs.map((need) => need.operation)).toEqual([operation]);
  });

  it('names its image, networks, secrets and configs', () => {
    const ruling = rule(call, {
      ...service({ Secrets: [{ SecretID: 's1', SecretName: 's', File: { Name: 's', UID: '0', GID: '0', Mode: 292 } }], Configs: [{ ConfigID: 'c1', ConfigName: 'c' }], Healthcheck: { Test: ['NONE'] } }, { Networks: [{ Target: 'n1', Aliases: ['web'] }] }), Networks: [{ Target: 'n2' }, { Target: 'host' }],
    });
    expect(uses(ruling)).toEqual(['secret:use s1 /TaskTemplate/ContainerSpec/Secrets/0/SecretID', 'config:use c1 /TaskTemplate/ContainerSpec/Configs/0/ConfigID', 'network:connect n1 /TaskTemplate/Networks/0/Target', 'network:connect n2 /Networks/0/Target']);
    expect(needs(ruling)).toEqual(['service:create:host-network /Networks/1/Target']);
    expect(ruling.images).toEqual([{ reference: 'acme/web:1', how: 'run', pointer: '/TaskTemplate/ContainerSpec/Image' }]);
    expect(ruling.creates).toEqual(call.includes('create') ? [{ kind: 'service', name: 'web', pointer: '/Name' }] : []);
  });

  it('takes either spelling of the health check, and writes the one that engines write', () => {
    expect(written(rule(call, service({ HealthCheck: { Test: ['NONE'] } })))).toEqual(service({ Healthcheck: { Test: ['NONE'] } }));
    expect(refusal(call, '{"TaskTemplate":{"ContainerSpec":{"HealthCheck":{},"Healthcheck":{}}}}')).toEqual(['/TaskTemplate/ContainerSpec/Healthcheck']);
  });

  it('is refused for what engines fill in themselves, and what nobody knows', () => {
    expect(refusal(call, service({}, { NetworkAttachmentSpec: { ContainerID: 'x' }, Runtime: 'attachment' }))).toEqual(['/TaskTemplate/NetworkAttachmentSpec', '/TaskTemplate/Runtime']);
    expect(refusal(call, service({ Privileged: true, mounts: [] }))).toEqual(['/TaskTemplate/ContainerSpec/Privileged', '/TaskTemplate/ContainerSpec/mounts']);
    expect(refusal(call, '{"TaskTemplate":{"PluginSpec":{"PluginPrivilege":[],"privileges":[]}}}')).toEqual(['/TaskTemplate/PluginSpec/privileges']);
  });
});

describe('other objects', () => {
  it('networks: drivers, IPAM, options and sources of configuration', () => {
    const network = (more: object): string[] => needs(rule('POST /networks/create', { Name: 'n', ...more }));
    expect(network({ Driver: 'overlay', Options: { encrypted: '' }, IPAM: { Driver: 'default', Config: [{ Subnet: '10.0.0.0/24' }] }, CheckDuplicate: true })).toEqual([]);
    for (const Driver of ['bridge', '']) expect(network({ Driver, IPAM: { Config: [{ Subnet: '169.254.169.0/24' }] } })).toEqual(['network:create:options /IPAM/Config']);
    expect(network({ IPAM: { Config: [{ Subnet: '' }] } })).toEqual([]);
    expect(network({ Driver: 'macvlan', Options: { parent: 'eth0' } })).toEqual(['network:create:driver /Driver', 'network:create:options /Options']);
    expect(network({ Driver: 'bridge', Options: { 'com.docker.network.bridge.name': 'docker0' } })).toEqual(['network:create:options /Options']);
    expect(network({ Attachable: true, Ingress: true })).toEqual(['network:create:attachable /Attachable', 'network:create:ingress /Ingress']);
    expect(network({ IPAM: { Driver: 'x', Options: { a: 'b' } }, ConfigOnly: true })).toEqual(['network:create:ipam-driver /IPAM/Driver', 'network:create:ipam-driver /IPAM/Options', 'network:create:driver /ConfigOnly']);
    expect(uses(rule('POST /networks/create', { Name: 'n', ConfigFrom: { Network: 'base' } }))).toEqual(['network:connect base /ConfigFrom/Network']);
    const connect = rule('POST /networks/n/connect', { Container: 'c', EndpointConfig: { DriverOpts: { 'com.docker.network.endpoint.sysctls': 'x' } } });
    expect([uses(connect), needs(connect), connect.target?.id]).toEqual([['container:connect c /Container'], ['container:create:network-options /EndpointConfig/DriverOpts'], 'n']);
  });

  it('volumes: drivers and options, which can be bind mounts', () => {
    const volume = (more: object): string[] => needs(rule('POST /volumes/create', { Name: 'v', ...more }));
    expect(volume({ Driver: 'local', DriverOpts: {}, Labels: { a: 'b' } })).toEqual([]);
    expect(volume({ Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device: '/' } })).toEqual(['volume:create:options /DriverOpts']);
    expect(volume({ DriverOpts: { device: ':/x', type: 'nfs' } })).toEqual(['volume:create:options /DriverOpts']);
    expect(volume({ DriverOpts: { device: '' } })).toEqual(['volume:create:options /DriverOpts']);
    expect(volume({ Driver: 'convoy' })).toEqual(['volume:create:driver /Driver']);
    expect(volume({ ClusterVolumeSpec: { Group: 'g' } })).toEqual(['volume:create:driver /ClusterVolumeSpec']);
    expect(uses(rule('PUT /volumes/v?version=1', { Spec: { Secrets: [{ Key: 'k', Secret: 's' }] } }))).toEqual(['secret:use s /Spec/Secrets/0/Secret']);
  });

  it('secrets and configs: no drivers and no templates, base64 alone', () => {
    for (const kind of ['secrets', 'configs']) {
      for (const call of [`POST /${kind}/create`, `POST /${kind}/x/update?version=1`]) {
        expect(refusal(call, { Name: 'n', Data: 'aGk=', Labels: {}, Templating: null })).toEqual([]);
        expect(refusal(call, { Name: 'n', Data: 'aGk=', Templating: { Name: 'golang' } })).toEqual(['/Templating']);
        expect(refusal(call, { Name: 'n', Data: 'not base64!' })).toEqual(['/Data']);
      }
    }
    expect(refusal('POST /secrets/create', { Name: 'n', Driver: { Name: 'vault' } })).toEqual(['/Driver']);
    expect(refusal('POST /configs/create', { Name: 'n', Driver: { Name: 'vault' } })).toEqual(['/Driver']);
    expect(rule('POST /secrets/create', { Name: 'n' }).creates).toEqual([{ kind: 'secret', name: 'n', pointer: '/Name' }]);
  });

  it('nodes: becoming a manager is for those who run the installation', () => {
    expect(rule('POST /nodes/n/update?version=1', { Role: 'manager', Availability: 'drain' }).needs).toEqual([{ operation: 'node:update:role', pointer: '/Role', ifChanged: true }]);
    expect(rule('POST /nodes/n/update?version=1', { Availability: 'drain', Labels: { zone: 'a' } }).needs).toEqual([]);
  });

  it('images: what is pulled, named, loaded and fetched', () => {
    expect(rule('POST /images/create?fromImage=acme/web&tag=1')).toMatchObject({ images: [{ reference: 'acme/web:1', how: 'pull', pointer: '?fromImage' }], needs: [], stream: false });
    expect(rule('POST /images/create?fromImage=acme/web&tag=sha256:00').images).toEqual([{ reference: 'acme/web@sha256:00', how: 'pull', pointer: '?fromImage' }]);
    expect(rule('POST /images/create?fromImage=acme/web').images).toEqual([{ reference: 'acme/web', how: 'pull', pointer: '?fromImage', allTags: true }]);
    expect(refusal('POST /images/create?fromImage=acme/web:1&tag=2')).toEqual(['?tag']);
    expect(refusal('POST /images/create?fromImage=a&fromSrc=-')).toEqual(['?fromImage']);
    const load = rule('POST /images/create?fromSrc=-&repo=acme/web&tag=1');
    expect([needs(load), load.images, load.stream]).toEqual([['image:load ?fromSrc'], [{ reference: 'acme/web:1', how: 'write', pointer: '?repo' }], true]);
    expect(needs(rule('POST /images/create?fromSrc=http://169.254.169.254/'))).toEqual(['image:load ?fromSrc', 'image:load:remote ?fromSrc']);
    expect(rule('POST /images/acme/web/tag?repo=acme/prod&tag=1').images).toEqual([{ reference: 'acme/prod:1', how: 'write', pointer: '?repo' }]);
    expect(needs(rule('DELETE /images/x?force=1'))).toEqual(['image:remove:force ?force']);
    expect(uses(rule('GET /images/get?names=a&names=b'))).toEqual(['image:export a ?names', 'image:export b ?names']);
    const committed = rule('POST /commit?container=c&repo=acme/web&tag=1', 'null');
    expect([uses(committed), committed.images]).toEqual([['container:commit c ?container'], [{ reference: 'acme/web:1', how: 'write', pointer: '?repo' }]]);
    expect(refusal('POST /commit?repo=x')).toEqual(['?container']);
    expect(refusal('POST /commit?container=c', { Privileged: true })).toEqual(['/Privileged']);
  });

  it('builds: networks, remote contexts, caches and outputs', () => {
    const build = (query: string): EngineRuling => rule(`POST /v1.41/build?${query}`);
    const json = (value: unknown): string => encodeURIComponent(JSON.stringify(value));
    // As the stock client sends it.
    // As the CLI sends them that has proxies in its settings.
    expect(build(`buildargs=${encodeURIComponent('{"HTTP_PROXY":"a","http_proxy":"a"}')}&t=acme%2Fweb%3A1`).query).toContain(encodeURIComponent('{"HTTP_PROXY":"a","http_proxy":"a"}'));
    const usual = build(`buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&t=acme%2Fweb%3A1&target=&ulimits=null&version=1`);
    expect([usual.needs, usual.uses, usual.stream]).toEqual([[], [], true]);
    expect(usual.images).toEqual([{ reference: 'acme/web:1', how: 'write', pointer: '?t' }]);
    expect(needs(build('networkmode=host'))).toEqual(['image:build:host-network ?networkmode']);
    expect(uses(build('networkmode=container:x'))).toEqual(['container:exec x ?networkmode']);
    expect(uses(build('networkmode=shop'))).toEqual(['network:connect shop ?networkmode']);
    expect(needs(build('remote=https://example.test/x.git'))).toEqual(['image:build:remote ?remote']);
    expect(needs(build('remote=client-session&session=s&version=2'))).toEqual([]);
    expect(needs(build(`cgroupparent=/x&securityopt=${json(['seccomp=unconfined'])}`))).toEqual(['image:build:resources ?cgroupparent', 'image:build:security-options ?securityopt']);
    expect(build(`cachefrom=${json(['acme/base:1'])}&outputs=${json([{ Type: 'moby', Attrs: { name: 'acme/a,acme/b' } }])}`).images.map(({ reference, how }) => `${how} ${reference}`)).toEqual(['pull acme/base:1', 'write acme/a', 'write acme/b']);
    expect(refusal(`POST /build?outputs=${json([{ Type: 'image', Attrs: { name: 'x', push: 'true' } }])}`)).toEqual(['?outputs/0/Attrs/push']);
    expect(refusal(`POST /build?outputs=${json([{ Type: 'other' }])}&buildargs=[]&labels=${encodeURIComponent('{"a":"1","a":"2"}')}&memory=1e3&rm=maybe`)).toEqual(['?outputs/0/Type', '?buildargs', '?labels/a', '?memory', '?rm']);
    expect(rule('POST /grpc').operations).toEqual(['image:build']);
  });

  it('plugins and the swarm are for who runs the installation', () => {
    expect(rule('POST /plugins/pull?remote=vieux/sshfs', [{ Name: 'mount', Description: '', Value: ['/'] }])).toMatchObject({ operations: ['plugin:manage'], registries: [{ address: 'vieux/sshfs', pointer: '?remote' }] });
    expect(refusal('POST /plugins/pull?remote=x', { Name: 'mount' })).toEqual(['']);
    expect(rule('POST /swarm/join', { RemoteAddrs: ['10.0.0.1'], JoinToken: 'x' }).operations).toEqual(['swarm:join']);
    for (const without of [{}, { serveraddress: null }, { serveraddress: '' }]) expect(rule('POST /auth', { username: 'a', password: 'b', ...without }).registries).toEqual([{ address: '', pointer: '/serveraddress' }]);
    expect(rule('POST /auth', { username: 'a', password: 'b', serveraddress: 'registry.test' }).registries).toEqual([{ address: 'registry.test', pointer: '/serveraddress' }]);
  });
});

describe('queries', () => {
  it('are written in our own form', () => {
    expect(rule('GET /containers/json?all=True&size=&limit=5').query).toBe('?all=1&size=0&limit=5');
    const both = rule(`GET /containers/json?filters=${encodeURIComponent('{"label":["a=b","a=b"],"status":{"exited":true}}')}`);
    expect(both.filters).toEqual({ label: ['a=b'], status: ['exited'] });
    expect(decodeURIComponent(both.query)).toBe('?filters={"label":{"a=b":true},"status":{"exited":true}}');
    for (const bad of ['[]', '{"a":1}', '{"a":[1]}', '{"a":{"b":false}}', '{"a":[],"A":[]}', '{', 'x', '{"a":{"b":{"c":true}}}']) expect(refusal(`GET /containers/json?filters=${encodeURIComponent(bad)}`)).toHaveLength(1);
    for (const bad of ['all=constructor', 'all=2', 'limit=1.0', 'limit=0x1', 'limit=%201', 'limit=01']) expect(refusal(`GET /containers/json?${bad}`)).toHaveLength(1);
  });

  it('tell a rollback', () => {
    expect(rule('POST /services/web/update?version=7&rollback=previous', service()).rollback).toBe(true);
    expect(rule('POST /services/web/update?version=7', service()).rollback).toBe(false);
    expect(refusal('POST /services/web/update?version=7&rollback=Previous', service())).toEqual(['?rollback']);
  });
});

describe('a create that a client writes twice', () => {
  const body = { Image: 'acme/web:1', Cmd: ['sh', '-c'], HostConfig: { NetworkMode: 'shop' } };
  // As dockerode sends it: one map of options as the body and as the query.
  const twice = 'POST /v1.41/containers/create?name=web&Image=acme%2Fweb%3A1&Cmd=sh&Cmd=-c&HostConfig=%7B%22NetworkMode%22%3A%22shop%22%7D';

  it('is ruled on by its body and its own parameters; what is there twice goes no further', () => {
    const ruling = rule(twice, { name: 'web', ...body });
    expect(ruling).toMatchObject({ query: '?name=web', creates: [{ kind: 'container', name: 'web' }], images: [{ reference: 'acme/web:1' }] });
    expect(written(ruling)).toEqual(body);
    expect(ruling.uses).toEqual(rule(create, body).uses);
    // A parameter's value decides nothing.
    const other = rule('POST /containers/create?Image=alpine&HostConfig=%7B%22Privileged%22%3Atrue%7D', body);
    expect(other).toMatchObject({ query: '', images: [{ reference: 'acme/web:1' }], needs: [] });
    expect(written(other)).toEqual(body);
  });

  it('is refused where one side only says it, or the two differ', () => {
    expect(refusal('POST /containers/create?name=web&User=root', body)).toEqual(['?User']);
    expect(refusal('POST /containers/create?name=web', { name: 'other', ...body })).toEqual(['/name']);
    expect(refusal('POST /containers/create', { name: 'web', ...body })).toEqual(['/name']);
    expect(refusal('POST /containers/create?name=', { name: null, ...body })).toEqual(['/name']);
    expect(refusal('POST /services/web/update?version=7', { version: '7', Name: 'web' })).toEqual(['/version']);
  });

  it('has no parameter with the name of a member', () => {
    for (const row of engineTable.filter(({ writtenTwice }) => writtenTwice)) {
      if (row.body.is !== 'json' || row.body.shape.is !== 'object') throw new Error(row.name);
      expect(Object.keys(row.body.shape.members).filter((name) => name in row.query)).toEqual([]);
    }
  });
});

describe('whatever is sent', () => {
  it('is ruled on or refused, and what is ruled on is ruled on the same again', () => {
    const json = engineTable.filter((row) => row.body.is === 'json');
    const names = fc.constantFrom('Image', 'HostConfig', 'Binds', 'Mounts', 'Type', 'Name', 'Labels', 'TaskTemplate', 'ContainerSpec', 'Options', 'Driver', 'IPAM', 'Spec', 'image', '__proto__', 'NetworkMode', 'Networks', 'Target', 'Privileged', 'Source', 'Data', 'Role');
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof({ maxDepth: 5, depthSize: 'medium' }, fc.constantFrom(null, true, 0, -1, 1.5, '', 'host', 'bind', '/', 'container:x', 'io.gantry.x'), fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(names, tie('value'), { maxKeys: 4 })),
    }));
    let ruled = 0;
    fc.assert(fc.property(fc.constantFrom(...json), value, (row, body) => {
      const match = matchEngineCall(row.method, row.path.replace(/\{\w+\}/, 'x'));
      if (match.row === null) throw new Error(match.message);
      let first: EngineRuling;
      try {
        first = ruleOnCall(match, Buffer.from(JSON.stringify(body)));
      } catch (error) {
        expect(error).toBeInstanceOf(Problem);
        return;
      }
      ruled += 1;
      const again = ruleOnCall(match, Buffer.from(writeStrictJson(first.body)));
      // The row is left out: a difference would print the whole table.
      const told = ({ row: _row, body: copy, ...ruling }: EngineRuling): string => JSON.stringify({ ...ruling, body: writeStrictJson(copy) });
      expect(told(again)).toBe(told(first));
    }), { numRuns: 2000 });
    expect(ruled).toBeGreaterThan(50);
  });
});
