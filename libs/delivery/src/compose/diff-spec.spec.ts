import { diffSpec } from './diff-spec';
import { parseCompose } from './parse';
import { toSpecs, type ServiceSpec } from './to-specs';

const digest = (hex: string) => `sha256:${hex.repeat(32)}`;

function spec(keys: string, image = 'aa', rest = ''): ServiceSpec {
  const result = parseCompose(`services:\n  web: {image: acme/web, ${keys}}\n${rest}`, { variables: {} });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  const [service] = toSpecs(result.file, {
    stack: 'st',
    images: { web: `r/acme/web@${digest(image)}` },
    secretValues: { db: Buffer.from('x') },
    nameKey: Buffer.alloc(32),
  }).services;
  if (service === undefined) throw new Error('no service');
  return service;
}

/** What an engine of API 1.41 gives back for a spec: ids for names, and its own defaults. */
function stored(of: ServiceSpec): Record<string, unknown> {
  const copy = structuredClone(of);
  const container = copy.TaskTemplate.ContainerSpec;
  for (const config of container.Configs ?? []) config.ConfigID = 'c1';
  for (const secret of container.Secrets ?? []) secret.SecretID = 's1';
  for (const network of copy.TaskTemplate.Networks) network.Target = `id-of-${network.Target}`;
  container.Env?.reverse();
  container.Mounts?.reverse();
  return {
    ...copy,
    TaskTemplate: {
      ...copy.TaskTemplate,
      ForceUpdate: 3,
      Runtime: 'container',
      Placement: { ...copy.TaskTemplate.Placement, Platforms: [{ Architecture: 'amd64', OS: 'linux' }] },
      ContainerSpec: { Isolation: 'default', StopGracePeriod: 10e9, DNSConfig: {}, ...container },
    },
    EndpointSpec: { Mode: 'vip', ...copy.EndpointSpec },
  };
}

const options = { networkNames: { 'id-of-st_default': 'st_default', 'id-of-st_n': 'st_n' } };

describe('diffSpec', () => {
  const rich = `environment: {A: "1", B: "2"}, volumes: ["data:/data", "/x:/x:ro"], ports: ["80:80"], secrets: [db], configs: [c],
    labels: {a: ""}, ulimits: {nofile: 5},
    healthcheck: {test: "true", retries: 0}, deploy: {update_config: {parallelism: 0}, replicas: 0, labels: {x: y}}`;
  const rest = 'volumes: {data: {}}\nsecrets: {db: {}}\nconfigs: {c: {content: x}}\nnetworks: {n: {}}\n';

  it('sees no change in what the engine stores for the same spec', () => {
    const same = spec(rich, 'aa', rest);
    expect(diffSpec(same, stored(same), options)).toEqual([]);
    expect(diffSpec(same, stored(same), { ...options, previous: same })).toEqual([]);
  });

  it('names what changes', () => {
    const now = stored(spec(rich, 'aa', rest));
    const next = spec(
      `environment: {A: "1", B: "3", C: ""}, volumes: ["data:/data:ro"], ports: ["81:80"], secrets: [db],
        configs: [c], networks: [n], deploy: {mode: global}`,
      'bb',
      rest.replace('content: x', 'content: y'),
    );
    const changes = diffSpec(next, now, options);
    const by = Object.fromEntries(changes.map(({ path, from, to }) => [path, [from, to]]));
    const container = 'TaskTemplate.ContainerSpec';
    expect(by).toMatchObject({
      [`${container}.Image`]: [`r/acme/web@${digest('aa')}`, `r/acme/web@${digest('bb')}`],
      [`${container}.Env[B]`]: ['2', '3'],
      [`${container}.Env[C]`]: [null, ''],
      [`${container}.Mounts[/data].ReadOnly`]: [null, true],
      'EndpointSpec.Ports[81:80/tcp].PublishedPort': [null, 81],
      'TaskTemplate.Networks[st_n].Target': [null, 'st_n'],
      'Mode.Global': [null, {}],
    });
    expect(changes.map(({ path }) => path)).toEqual([...changes.map(({ path }) => path)].sort());
    expect(Object.keys(by).filter((path) => /Configs\[c\]\.ConfigName/.test(path))).toHaveLength(1);
    expect(Object.keys(by).filter((path) => /Secrets|ID$|Isolation|Platforms|ForceUpdate|Env\[A\]/.test(path))).toEqual([]);
  });

  it('counts what an earlier release set and this one does not, but not what others added', () => {
    const before = spec('environment: {A: "1", OLD: x}, labels: {gone: "1"}, stop_grace_period: 1m, volumes: ["/x:/x"]');
    const now = stored(before) as unknown as ServiceSpec;
    now.TaskTemplate.ContainerSpec.Env?.push('BY_HAND=1');
    now.Labels['by.hand'] = 'y';
    const next = spec('environment: {A: "1"}');
    const current = now as unknown as Record<string, unknown>;
    expect(diffSpec(next, current, options)).toEqual([]);
    expect(
      diffSpec(next, current, { ...options, previous: before }).map(({ path, from, to }) => [
        path.replace('TaskTemplate.ContainerSpec.', ''),
        from,
        to,
      ]),
    ).toEqual([
      ['Env[OLD]', 'x', null],
      ['Labels.gone', '1', null],
      ['Mounts[/x].Source', '/x', null],
      ['Mounts[/x].Target', '/x', null],
      ['Mounts[/x].Type', 'bind', null],
      ['StopGracePeriod', 60e9, null],
    ]);
  });

  it('counts a zero that is set, beside an engine default', () => {
    const now = stored(spec('deploy: {replicas: 2, update_config: {parallelism: 1}}'));
    expect(diffSpec(spec('deploy: {replicas: 0, update_config: {parallelism: 0}}'), now, options)).toEqual([
      { path: 'Mode.Replicated.Replicas', from: 2, to: 0 },
      { path: 'UpdateConfig.Parallelism', from: 1, to: 0 },
    ]);
  });

  it('shows a new service as all additions', () => {
    const changes = diffSpec(spec('hostname: h'), null);
    expect(changes.every(({ from }) => from === null)).toBe(true);
    expect(changes).toContainEqual({ path: 'TaskTemplate.ContainerSpec.Hostname', from: null, to: 'h' });
  });

  it('masks what may be a secret', () => {
    const keys = (n: number) => `environment: {DB_PASSWORD: leak${n}, API_KEY: leak${n}, apiToken: leak${n},
      DATABASE_URL: "postgres://u:leak${n}@h/db", JSON: '{"password": "leak${n}"}', PLAIN: shown${n}},
      command: [run, --password, leak${n}], entrypoint: [run, --token=leak${n}], labels: {auth.secret: leak${n}},
      logging: {driver: splunk, options: {splunk-token: leak${n}}}, volumes: ["v:/v"]`;
    const volume = (n: number) => `volumes: {v: {driver: x, driver_opts: {o: "username=u,password=leak${n}"}}}\n`;
    const changes = diffSpec(spec(keys(2), 'aa', volume(2)), stored(spec(keys(1), 'aa', volume(1))), options);
    expect(JSON.stringify(changes)).not.toContain('leak');
    expect(changes).toContainEqual({ path: 'TaskTemplate.ContainerSpec.Env[PLAIN]', from: 'shown1', to: 'shown2' });
    expect(changes).toContainEqual({ path: 'TaskTemplate.ContainerSpec.Env[DB_PASSWORD]', from: '***', to: '***' });
    expect(changes).toHaveLength(11);
    expect(JSON.stringify(diffSpec(spec(keys(2), 'aa', volume(2)), null))).not.toContain('leak');
  });
});
