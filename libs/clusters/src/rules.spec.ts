import { Problem } from '@gantry/platform';
import { pinnedImage, ruleOn, type Change } from './rules';
import type { NetworkSpec, ServiceSpec } from './specs';

const host = 'registry.example.org:5000';
const digest = `sha256:${'a'.repeat(64)}`;
const image = `${host}/acme/web@${digest}`;

function service(container: object = {}, task: object = {}, more: object = {}): ServiceSpec {
  return { Name: 'shop_web', TaskTemplate: { ContainerSpec: { Image: image, ...container }, ...task }, ...more };
}

const create = (spec: ServiceSpec): Change => ({ type: 'service.create', spec, registryAuth: null });

function problemOf(work: () => unknown): Problem {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const options = (change: Change): string[] => ruleOn(change, host).hostOptions.map(({ operation }) => operation);

describe('ruleOn', () => {
  it('lets an ordinary service through untouched', () => {
    const spec = service(
      { Env: ['A=b'], Mounts: [{ Type: 'volume', Source: 'shop_data', Target: '/data' }, { Type: 'tmpfs', Target: '/tmp', TmpfsOptions: { SizeBytes: 1024 } }], CapabilityDrop: ['ALL'], Privileges: { NoNewPrivileges: true } },
      { Networks: [{ Target: 'n1', Aliases: ['web'] }], LogDriver: { Name: 'json-file', Options: { 'max-size': '10m' } } },
      { EndpointSpec: { Mode: 'dnsrr', Ports: [{ TargetPort: 80, PublishedPort: 8080, PublishMode: 'host', Protocol: 'tcp' }] } },
    );
    const ruling = ruleOn(create(spec), host);
    expect(ruling).toMatchObject({
      creates: { kind: 'service', name: 'shop_web' }, target: null, hostOptions: [], images: [{ repository: 'acme/web', digest }],
      uses: [{ kind: 'network', id: 'n1' }], volumes: [{ kind: 'volume', id: 'shop_data' }],
    });
    expect(ruling.change).toEqual(create(spec));
    expect(ruling.change).not.toBe(spec);
  });

  it.each<[string, ServiceSpec]>([
    ['bind', service({ Mounts: [{ Type: 'bind', Source: '/', Target: '/host' }] })],
    ['bind', service({ Mounts: [{ Type: 'volume', Source: '/etc', Target: '/host' }] })],
    ['bind', service({ Mounts: [{ Type: 'volume', Source: '../etc', Target: '/host' }] })],
    ['bind', service({ Mounts: [{ Type: 'volume', Source: '{{.Service.Name}}', Target: '/host' }] })],
    ['bind', service({ Mounts: [{ Type: 'volume', Source: 'C:\\', Target: '/host' }] })],
    ['bind', service({ Mounts: [{ Type: 'tmpfs', Target: '/x', BindOptions: { Propagation: 'shared' } }] })],
    ['npipe', service({ Mounts: [{ Type: 'npipe', Source: '//./pipe/docker_engine', Target: '/x' }] })],
    ['mount-cluster', service({ Mounts: [{ Type: 'cluster', Source: 'v', Target: '/x' }] })],
    ['volume-options', service({ Mounts: [{ Type: 'volume', Source: 'shop_x', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'local', Options: { type: 'none', o: 'bind', device: '/' } } } }] })],
    ['volume-options', service({ Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { DriverConfig: { Options: { device: '/dev/sda' } } } }] })],
    ['volume-driver', service({ Mounts: [{ Type: 'volume', Source: 'shop_x', Target: '/x', VolumeOptions: { DriverConfig: { Name: 'sshfs' } } }] })],
    ['capabilities', service({ CapabilityAdd: ['NET_ADMIN'] })],
    ['sysctls', service({ Sysctls: { 'net.core.somaxconn': '1024' } })],
    ['privileges', service({ Privileges: { SELinuxContext: { Disable: true } } })],
    ['privileges', service({ Privileges: { CredentialSpec: { File: 'x.json' } } })],
    ['devices', service({}, { Resources: { Reservations: { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }] } } })],
    ['host-network', service({}, { Networks: [{ Target: 'host' }] })],
    ['network-options', service({}, { Networks: [{ Target: 'n1', DriverOpts: { a: 'b' } }] })],
    ['log-driver', service({}, { LogDriver: { Name: 'fluentd', Options: { 'fluentd-address': 'unix:///run/x' } } })],
    ['log-driver', service({}, { LogDriver: { Name: 'json-file', Options: { 'cache-disabled': 'x' } } })],
  ])('names what touches the host: %s', (option, spec) => {
    expect(options(create(spec))).toEqual([`service:create:${option}`]);
  });

  it.each<[string, Partial<NetworkSpec>, string]>([
    ['macvlan', { Driver: 'macvlan' }, 'network:create:driver'],
    ['the host', { Driver: 'host' }, 'network:create:driver'],
    ['the routing mesh', { Ingress: true }, 'network:create:ingress'],
    ['an address plugin', { IPAM: { Driver: 'dhcp' } }, 'network:create:ipam-driver'],
    ['driver options', { Options: { parent: 'eth0' } }, 'network:create:options'],
  ])('names what a network does beyond an overlay: %s', (_what, spec, operation) => {
    expect(options({ type: 'network.create', spec: { Name: 'n1', Driver: 'overlay', ...spec } })).toEqual([operation]);
    expect(options({ type: 'network.create', spec: { Name: 'n1', Driver: 'overlay', Attachable: true, Options: { encrypted: '' } } })).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ['another case', { ...service(), tasktemplate: {} }, '/spec/tasktemplate'],
    ['case folded by Unicode', service({ Mounts: [{ Type: 'tmpfs', Target: '/x', 'BindOption\u017f': {} }] }), '/spec/TaskTemplate/ContainerSpec/Mounts/0/BindOption\u017f'],
    ['plugins', service({}, { PluginSpec: {} }), '/spec/TaskTemplate/PluginSpec'],
    ['a runtime', service({}, { Runtime: 'plugin' }), '/spec/TaskTemplate/Runtime'],
    ['seccomp profiles', service({ Privileges: { Seccomp: { Mode: 'unconfined' } } }), '/spec/TaskTemplate/ContainerSpec/Privileges/Seccomp'],
    ['attachments', service({}, { NetworkAttachmentSpec: {} }), '/spec/TaskTemplate/NetworkAttachmentSpec'],
    ['a fraction of a replica', { ...service(), Mode: { Replicated: { Replicas: 1.5 } } }, '/spec/Mode'],
    ['a bad name', { ...service(), Name: '../x' }, '/spec/Name'],
  ])('refuses what it does not know: %s', (_what, spec, pointer) => {
    const problem = problemOf(() => ruleOn(create(spec as ServiceSpec), host));
    expect(problem.code).toBe('clusters.spec-invalid');
    expect(problem.errors.map((error) => error.pointer)).toContainEqual(expect.stringContaining(pointer));
  });

  it('knows no other changes', () => {
    for (const type of ['swarm.leave', 'toString', '__proto__', 'container.create']) {
      expect(problemOf(() => ruleOn({ type, spec: {} } as unknown as Change, host)).code).toBe('clusters.spec-invalid');
    }
    expect(problemOf(() => ruleOn({ type: 'service.remove', id: '../nodes/x' }, host)).code).toBe('clusters.spec-invalid');
    expect(problemOf(() => ruleOn({ type: 'secret.create', spec: { Name: 's', Data: 'not base64!' } }, host)).code).toBe('clusters.spec-invalid');
    expect(problemOf(() => ruleOn({ type: 'secret.create', spec: { Name: 's', Data: Buffer.alloc(512_003).toString('base64') } }, host)).code).toBe('clusters.spec-invalid');
  });

  it('says what is touched by updates and removals', () => {
    expect(ruleOn({ type: 'service.update', id: 'abc', versionIndex: 7, spec: service(), registryAuth: null }, host)).toMatchObject({ target: { kind: 'service', id: 'abc' }, creates: null });
    expect(ruleOn({ type: 'secret.remove', id: 'abc' }, host)).toMatchObject({ target: { kind: 'secret', id: 'abc' }, images: [] });
  });
});

describe('pinnedImage', () => {
  it('takes repository and digest, with or without a tag', () => {
    expect(pinnedImage(image, host)).toEqual({ repository: 'acme/web', digest });
    expect(pinnedImage(`${host}/acme/team/web:1.2_x@${digest}`, host)).toEqual({ repository: 'acme/team/web', digest });
  });

  it.each([
    ['clusters.image-not-pinned', `${host}/acme/web`],
    ['clusters.image-not-pinned', `${host}/acme/web:latest`],
    ['clusters.image-not-pinned', `${host}/web@${digest}`],
    ['clusters.image-not-pinned', `${host}/acme/web@${digest.toUpperCase()}`],
    ['clusters.image-not-pinned', `${host}/acme/web@sha512:${'a'.repeat(128)}`],
    ['clusters.image-not-pinned', `${host}/acme/../web@${digest}`],
    ['clusters.image-not-pinned', `${host}/acme/web@${digest}\n`],
    ['clusters.image-not-pinned', `${host}/Acme/web@${digest}`],
    ['clusters.image-foreign', `nginx@${digest}`],
    ['clusters.image-foreign', `${host}.evil.org/acme/web@${digest}`],
    ['clusters.image-foreign', `${host}@evil.org/acme/web@${digest}`],
  ])('refuses with %s: %s', (code, reference) => {
    expect(problemOf(() => pinnedImage(reference, host)).code).toBe(code);
  });
});
