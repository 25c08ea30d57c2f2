import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ComposeFile } from './model';
import { parseCompose } from './parse';
import { ComposeSpecError, requiredValues, toSpecs, type ServiceSpec, type ToSpecsOptions } from './to-specs';

const digest = `sha256:${'ab'.repeat(32)}`;
const nameKey = Buffer.alloc(32, 7);

function read(text: string, variables: Record<string, string> = {}): ComposeFile {
  const result = parseCompose(text, { variables });
  if (!result.ok) throw new Error(JSON.stringify(result.errors, null, 1));
  return result.file;
}

function pin(file: ComposeFile): Record<string, string> {
  return Object.fromEntries(Object.keys(file.services).map((name) => [name, `registry.test/acme/${name}@${digest}`]));
}

function specs(text: string, options: Partial<ToSpecsOptions> = {}) {
  const file = read(text);
  return toSpecs(file, { stack: 'st', images: pin(file), secretValues: {}, nameKey, ...options });
}

describe('toSpecs beside what docker stack deploy sends', () => {
  const folder = join(__dirname, 'fixtures');
  const recorded = JSON.parse(readFileSync(join(folder, 'stack-deploy.json'), 'utf8')) as { path: string; body: Record<string, unknown> }[];
  const text = readFileSync(join(folder, 'stack-deploy.yml'), 'utf8')
    .replace('file: "${FILES}/site.conf"', 'content: "hello\\n"')
    .replace('{file: "${FILES}/key"}', '{}');
  const file = read(text, { TAG: '1.0' });
  const ours = toSpecs(file, { stack: 'st', images: pin(file), secretValues: { key: Buffer.from('open sesame\n') }, nameKey });

  /** Without what says nothing: nulls, zeros, empty maps and lists (but for the modes, which are empty maps). */
  const bare = (value: unknown, key = ''): unknown => {
    if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => bare(item));
    if (typeof value !== 'object' || value === null)
      return value === null || value === false || value === 0 || value === '' ? undefined : value;
    const entries = Object.entries(value)
      .map(([name, item]) => [name, item === '' && name === 'encrypted' ? '' : bare(item, name)] as const)
      .filter(([, item]) => item !== undefined);
    return entries.length === 0 && !['Global', 'GlobalJob'].includes(key)
      ? undefined
      : Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  const byFile = (a: { File: { Name: string } }, b: { File: { Name: string } }) => (a.File.Name < b.File.Name ? -1 : 1);

  it.each(recorded.filter(({ path }) => path === '/services/create').map(({ body }) => [String(body.Name), body] as const))(
    'service %s',
    (name, body) => {
      const theirs = structuredClone(body) as unknown as ServiceSpec;
      const spec = theirs.TaskTemplate.ContainerSpec;
      spec.Image = `registry.test/acme/${name.slice(3)}@${digest}`;
      const suffixed = (objects: { name: string }[], name: string) =>
        objects.find((one) => one.name.startsWith(`${name}_`))?.name ?? 'none';
      spec.Secrets?.sort(byFile).forEach((one) => Object.assign(one, { SecretID: '', SecretName: suffixed(ours.secrets, one.SecretName) }));
      spec.Configs?.sort(byFile).forEach((one) => Object.assign(one, { ConfigID: '', ConfigName: suffixed(ours.configs, one.ConfigName) }));
      // The engine's own defaults, which the CLI leaves to it.
      for (const port of theirs.EndpointSpec?.Ports ?? []) port.Protocol ??= 'tcp';
      if ('Replicated' in theirs.Mode) theirs.Mode.Replicated.Replicas ??= 1;
      expect(bare(ours.services.find((service) => service.Name === name))).toEqual(bare(theirs));
    },
  );

  it.each(['/networks/create', '/configs/create', '/secrets/create'])('%s', (path) => {
    const theirs = recorded.filter((one) => one.path === path).map(({ body }) => bare(body));
    const list = path.startsWith('/networks')
      ? ours.networks
      : (path.startsWith('/configs') ? ours.configs : ours.secrets).map(({ spec }) => spec);
    expect(list.map((body) => bare({ ...body, Name: body.Name.replace(/_[0-9a-f]{10}$/, '') }))).toEqual(theirs);
  });

  it('recorded every kind', () => {
    expect(recorded.map(({ path, body }) => `${path} ${String(body.Name)}`)).toHaveLength(9);
  });
});

describe('toSpecs', () => {
  const text =
    'services:\n  web:\n    image: acme/web:1\n    secrets: [db]\n    configs: [site]\n' +
    'secrets: {db: {environment: DB_PASSWORD}}\nconfigs: {site: {content: hi}}\n';
  const values = { DB_PASSWORD: Buffer.from('hunter2') };

  it('gives byte-equal specs for equal meaning, whatever the order of keys', () => {
    const a = specs('services:\n  web: {image: a, environment: {B: "1", A: "2"}, labels: {z: "1", a: "2"}}\n  api: {image: b}\n');
    const b = specs('services:\n  api: {image: b}\n  web: {labels: [a=2, z=1], environment: [A=2, B=1], image: a}\n');
    expect(JSON.stringify(a)).toBe(JSON.stringify(b));
    expect(a.services.map((service) => service.Name)).toEqual(['st_api', 'st_web']);
  });

  it('names secrets and configs by content, key and stack', () => {
    const one = specs(text, { secretValues: values });
    expect(one.secrets[0]?.name).toMatch(/^st_db_[0-9a-f]{10}$/);
    expect(one.services[0]?.TaskTemplate.ContainerSpec.Secrets).toEqual([
      { File: { GID: '0', Mode: 0o444, Name: 'db', UID: '0' }, SecretID: '', SecretName: one.secrets[0]?.name },
    ]);
    expect(specs(text, { secretValues: values })).toEqual(one);
    const names = (options: Partial<ToSpecsOptions>, changed = text) => {
      const state = specs(changed, { secretValues: values, ...options });
      return [state.secrets[0]?.name.slice(-10), state.configs[0]?.name.slice(-10)];
    };
    const base = names({});
    const [otherValue, sameConfig] = names({ secretValues: { DB_PASSWORD: Buffer.from('hunter3') } });
    expect(otherValue).not.toBe(base[0]);
    expect(sameConfig).toBe(base[1]);
    for (const other of [names({ nameKey: Buffer.alloc(32, 8) }), names({ stack: 'other' })]) {
      expect(other[0]).not.toBe(base[0]);
      expect(other[1]).not.toBe(base[1]);
    }
    expect(names({}, text.replace('content: hi', 'content: ho'))[1]).not.toBe(base[1]);
    expect(names({}, text.replace('content: hi', 'content: hi, labels: {a: b}'))[1]).not.toBe(base[1]);
  });

  it('keeps external names, explicit names and the network of the node', () => {
    const state = specs(`services:
  web: {image: a, networks: [host, named], volumes: ["ext:/e", "own:/o"], secrets: [old], configs: [c]}
networks: {host: {external: true}, named: {name: shared}}
volumes: {ext: {external: {name: outer}}, own: {name: mine}}
secrets: {old: {external: true, name: legacy}}
configs: {c: {name: plain, content: x}}
`);
    const [service] = state.services;
    expect(service?.TaskTemplate.Networks).toEqual([{ Target: 'host' }, { Aliases: ['web'], Target: 'shared' }]);
    expect(service?.TaskTemplate.ContainerSpec.Mounts).toEqual([
      { Source: 'outer', Target: '/e', Type: 'volume' },
      { Source: 'mine', Target: '/o', Type: 'volume', VolumeOptions: { Labels: { 'com.docker.stack.namespace': 'st' } } },
    ]);
    expect(service?.TaskTemplate.ContainerSpec.Secrets?.[0]?.SecretName).toBe('legacy');
    expect(state.secrets).toEqual([]);
    expect(state.configs[0]?.name).toMatch(/^plain_[0-9a-f]{10}$/);
    expect(state.networks.map(({ Name }) => Name)).toEqual(['shared']);
  });

  it('mounts tmpfs by both keys', () => {
    const [service] = specs(
      'services: {web: {image: a, tmpfs: ["/run:size=1m,mode=1770"], ' +
        'volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1gb, mode: 0700}}]}}',
    ).services;
    expect(service?.TaskTemplate.ContainerSpec.Mounts).toEqual([
      { Target: '/t', TmpfsOptions: { Mode: 0o700, SizeBytes: 1024 ** 3 }, Type: 'tmpfs' },
      { Target: '/run', TmpfsOptions: { Mode: 0o1770, SizeBytes: 1024 ** 2 }, Type: 'tmpfs' },
    ]);
  });

  it('survives names that JavaScript objects have', () => {
    const state = specs(
      'services:\n  constructor: {image: a, environment: {__proto__: x}, labels: {__proto__: y}, networks: [toString]}\n' +
        'networks: {toString: {}}\n',
    );
    expect(state.services[0]?.Name).toBe('st_constructor');
    expect(JSON.stringify(state.services[0])).toContain('"__proto__":"y"');
    expect(state.services[0]?.TaskTemplate.ContainerSpec.Env).toEqual(['__proto__=x']);
    expect(() => toSpecs(read('services: {constructor: {image: a}}'), { stack: 'st', images: {}, secretValues: {}, nameKey })).toThrow(
      'no image was resolved',
    );
  });

  it('says which values a file needs', () => {
    expect(requiredValues(read('services: {a: {image: a}}\nsecrets: {one: {}, two: {environment: TWO}, three: {external: true}}'))).toEqual(
      [
        { valueName: 'TWO', pointer: '/secrets/two' },
        { valueName: 'one', pointer: '/secrets/one' },
      ],
    );
  });

  it.each([
    ['stack-name', '', { stack: 'a_b' }],
    ['name-key', '', { nameKey: Buffer.alloc(3) }],
    ['image-missing', '/services/web/image', { images: {} }],
    ['image-not-pinned', '/services/web/image', { images: { web: 'acme/web:1' } }],
    ['value-missing', '/secrets/db', { secretValues: {} }],
    ['value-size', '/secrets/db', { secretValues: { DB_PASSWORD: Buffer.alloc(0) } }],
    ['value-size', '/secrets/db', { secretValues: { DB_PASSWORD: Buffer.alloc(500 * 1024) } }],
    ['name-too-long', '/services/web', { stack: 's'.repeat(40) }],
  ])('throws %s at %s', (code, pointer, options) => {
    const long = text.replace('  web:', code === 'name-too-long' ? `  ${'w'.repeat(30)}:` : '  web:');
    const at = code === 'name-too-long' ? `/services/${'w'.repeat(30)}` : pointer;
    expect(() => specs(long, { secretValues: values, ...options })).toThrow(ComposeSpecError);
    try {
      specs(long, { secretValues: values, ...options });
    } catch (error) {
      expect(error).toMatchObject({ code, pointer: at });
      expect((error as Error).message).not.toContain('hunter2');
    }
  });
});
