import fc from 'fast-check';
import { composeKeys } from './keys';
import { parseCompose } from './parse';
import type { ComposeFile } from './model';
import type { ComposeNotice } from './notice';

function read(text: string, variables: Record<string, string> = {}): { file: ComposeFile; warnings: ComposeNotice[] } {
  const result = parseCompose(text, { variables });
  if (!result.ok) throw new Error(JSON.stringify(result.errors, null, 1));
  return result;
}

function errors(text: string, variables: Record<string, string> = {}): ComposeNotice[] {
  const result = parseCompose(text, { variables });
  return result.ok ? [] : result.errors;
}

/** The file of one service `web` with the given flow-style keys beside the image. */
const web = (keys: string, rest = '') => `services:\n  web: {image: acme/web, ${keys}}\n${rest}`;
const service = (keys: string, rest = '', variables = {}) => read(web(keys, rest), variables).file.services.web;

describe('YAML', () => {
  it.each([
    ['', 'invalid'],
    ['[]', 'invalid'],
    ['null', 'invalid'],
    ['services', 'invalid'],
    ['services: {web: {image: a}}\n---\nservices: {}', 'yaml'],
    ['%YAML 1.1\n---\nservices: {web: {image: a}}', 'yaml'],
    ['%TAG ! tag:example.org,2000:\n---\nservices: {web: {image: a}}', 'yaml'],
    ['services: {web: {image: !reset null}}', 'yaml'],
    ['services: {web: {image: !!binary YQ==}}', 'yaml'],
    ['services: {web: {image: *nowhere}}', 'yaml'],
    ['services: {web: {image: a}', 'yaml'],
    ['services:\n\tweb: {image: a}', 'yaml'],
    ['services: {web: {image: "a\0"}}', 'yaml'],
    ['services: {web: {image: "a\\0b", hostname: "a\\0b"}}', 'invalid'],
    ['services: {web: {image: "\uFFFD"}}', 'yaml'],
    ['services: {web: {image: "\uD800"}}', 'yaml'],
    ['services: {web: {image: a}, web: {image: b}}', 'conflict'],
    ['services: {1: {image: a}}', 'invalid'],
    ['services: {true: {image: a}}', 'invalid'],
    ['services: {? [a] : {image: a}}', 'invalid'],
    ['services: &s {web: *s}', 'limit'],
    ['services: &s {<<: *s}', 'limit'],
    ['x-a: &a 1\nservices: {web: {<<: *a, image: a}}', 'invalid'],
    ['['.repeat(1_000_000), 'limit'],
    ['- '.repeat(400_000), 'limit'],
    ['a: '.repeat(300_000), 'limit'],
    [Array.from({ length: 1000 }, (_, level) => `${' '.repeat(level)}a:`).join('\n'), 'limit'],
    ['#'.repeat(1024 * 1024 + 1), 'limit'],
    ['\n'.repeat(1_000_000), 'limit'],
  ])('refuses %#', (text, code) => {
    const found = errors(text);
    expect(found.map((notice) => notice.code)).toContain(code);
    for (const { message } of found) expect(message.length).toBeLessThan(300);
  });

  it('refuses alias bombs before they unfold, by merge key, list, map and text', () => {
    const levels = Array.from({ length: 12 }, (_, level) => level + 1);
    const list = `x-0: &a0 ["x"]\n${levels
      .map(
        (n) =>
          `x-${n}: &a${n} [${Array(9)
            .fill(`*a${n - 1}`)
            .join(',')}]`,
      )
      .join('\n')}\n`;
    const nine = (n: number) => Array.from({ length: 9 }, (_, k) => `k${k}: *a${n}`).join(',');
    const maps = `x-0: &a0 {k: v}\n${levels.map((n) => `x-${n}: &a${n} {${nine(n - 1)}}`).join('\n')}\n`;
    const merges = `x-0: &a0 {k: v}\n${levels
      .map(
        (n) =>
          `x-${n}: &a${n} {<<: [${Array(9)
            .fill(`*a${n - 1}`)
            .join(',')}]}`,
      )
      .join('\n')}\n`;
    const texts = `x-t: &t ${'x'.repeat(500_000)}\nservices: {web: {image: a, command: [${Array(1000).fill('*t').join(',')}]}}`;
    const chain = Array.from({ length: 20_000 }, (_, n) => `x-${n + 1}: &c${n + 1} {<<: *c${n}}`).join('\n');
    // What a bomb unfolds to would take days: that this ends at all is the proof.
    expect(errors(`${list}services: {web: {image: a, command: *a12}}`)).not.toEqual([]);
    expect(errors(`${maps}services: *a12`)).not.toEqual([]);
    expect(errors(`${merges}services: {web: {image: a, environment: {<<: *a12}}}`).map(({ code }) => code)).toEqual(['limit']);
    expect(errors(`x-0: &c0 {image: a}\n${chain}\nservices: {web: *c20000}`).map(({ code }) => code)).toEqual(['limit']);
    expect(errors(texts).map(({ code }) => code)).toEqual(['limit']);
    expect(
      errors(web(`environment: {${Array.from({ length: 9000 }, (_, n) => `A${n}: $V`).join(',')}}`), { V: 'v'.repeat(100_000) }).map(
        ({ code }) => code,
      ),
    ).toEqual(['limit']);
  });

  it('keeps to limits that are given', () => {
    const text = web('environment: {A: a, B: b}');
    expect(parseCompose(text, { variables: {}, limits: { nodes: 5 } })).toMatchObject({ ok: false, errors: [{ code: 'limit' }] });
    expect(parseCompose(text, { variables: {}, limits: { depth: 2 } })).toMatchObject({ ok: false, errors: [{ code: 'limit' }] });
    expect(parseCompose(text, { variables: {}, limits: { textBytes: 5 } })).toMatchObject({ ok: false, errors: [{ code: 'limit' }] });
    const many = parseCompose(web(Array.from({ length: 500 }, (_, n) => `k${n}: 1`).join(',')), { variables: {} });
    expect(many.ok ? 0 : many.errors.length).toBe(100);
    const deep = `x: ${'['.repeat(27)}${']'.repeat(27)}`;
    expect(errors(deep).map(({ code }) => code)).not.toContain('limit');
  });

  it('follows anchors, aliases and merge keys; own keys win, then the earlier map', () => {
    const { file } = read(`
x-base: &base
  image: acme/base
  environment: &env {A: base, B: base}
x-more: &more {image: acme/more, hostname: more}
services:
  one: {<<: *base, hostname: one}
  two:
    <<: [*base, *more]
    environment: {<<: *env, B: own}
`);
    expect(file.services.one).toMatchObject({ image: 'acme/base', hostname: 'one', environment: { A: 'base', B: 'base' } });
    expect(file.services.two).toMatchObject({ image: 'acme/base', hostname: 'more', environment: { A: 'base', B: 'own' } });
    expect(errors('services: {web: {"<<": {image: a}}}').map(({ code }) => code)).toContain('unknown-key');
  });

  it('takes JSON and a byte order mark', () => {
    expect(read('{"services":{"web":{"image":"a","deploy":{"replicas":3}}}}').file.services.web?.deploy.replicas).toBe(3);
    expect(Object.keys(read('\uFEFFservices: {web: {image: a}}').file.services)).toEqual(['web']);
  });
});

describe('keys', () => {
  it.each([
    ['', 'servces: {}\n', '/servces', 1],
    ['services', 'services:\n  web:\n    image: a\n    imagee: b\n', '/services/web/imagee', 4],
    ['deploy', 'services:\n  web:\n    image: a\n    deploy:\n      replica: 1\n', '/services/web/deploy/replica', 5],
    ['item', 'services:\n  web:\n    image: a\n    ports:\n      - target: 1\n        hostport: 2\n', '/services/web/ports/0/hostport', 6],
    ['healthcheck', 'services:\n  web:\n    image: a\n    healthcheck:\n      tests: b\n', '/services/web/healthcheck/tests', 5],
    ['limits', 'services:\n  a/b~c:\n    deploy: {resources: {limits: {mem: 1}}}\n', '/services/a~1b~0c/deploy/resources/limits/mem', 3],
    ['network', 'services: {web: {image: a}}\nnetworks:\n  n:\n    drivr: x\n', '/networks/n/drivr', 4],
    ['ipam', 'services: {web: {image: a}}\nnetworks:\n  n:\n    ipam: {config: [{sub: x}]}\n', '/networks/n/ipam/config/0/sub', 4],
    ['volume', 'services: {web: {image: a}}\nvolumes:\n  n:\n    drivr: x\n', '/volumes/n/drivr', 4],
    ['config', 'services: {web: {image: a}}\nconfigs:\n  n: {content: x,\n    text: x}\n', '/configs/n/text', 4],
    ['secret', 'services: {web: {image: a}}\nsecrets:\n  n: {value: x}\n', '/secrets/n/value', 3],
    ['proto', 'services:\n  web: {image: a, __proto__: {privileged: true}}\n', '/services/web/__proto__', 2],
  ])('names an unknown key and its place: %s', (_, text, pointer, line) => {
    const found = errors(text).find(({ code }) => code === 'unknown-key');
    expect(found).toMatchObject({ pointer, line });
    expect(found?.column).toBeGreaterThan(0);
    expect(found?.message).toContain(pointer.split('/').at(-1));
  });

  it('skips extensions everywhere, but not in free maps', () => {
    const { file, warnings } = read(`
x-top: {$bad: [!!str 1, "$UNDEFINED"]}
services:
  web:
    image: a
    x-service: "\${UNDEFINED}"
    environment: {x-env: kept}
    deploy: {x-deploy: 1, resources: {x-r: 1, limits: {x-l: 1}}}
    healthcheck: {x-h: 1, test: "true"}
    ports: [{target: 80, x-p: 1}]
    volumes: [{type: volume, source: v, target: /v, x-v: 1}]
networks: {default: {x-n: 1}}
volumes: {v: {x-v: 1}}
`);
    expect(warnings).toEqual([]);
    expect(file.services.web?.environment).toEqual({ 'x-env': 'kept' });
  });

  /** A flow-style file whose value at the table path is a map, or null for paths inside lists and free maps. */
  const at = (path: string): string | null => {
    const parts = path.split('.');
    if (parts.length === 1) return `${web('hostname: w')}${path}: {}\n`;
    const [section = '', , ...rest] = parts;
    if (rest.some((part) => part === '*' || part.includes('['))) return null;
    const value = rest.reduceRight((inner, key) => `{${key}: ${inner}}`, '{}');
    return section === 'services' ? web(value.slice(1, -1)) : `${web('hostname: w')}${section}:\n  n: ${value}\n`;
  };
  const rows = [...composeKeys].filter(([, rule]) => rule.status !== 'supported');

  it.each(rows.map(([path, rule]) => [path, rule] as const))('tells about %s', (path, rule) => {
    const text = at(path);
    if (text === null) return;
    const result = parseCompose(text, { variables: {} });
    const found = (result.ok ? result.warnings : result.errors).filter(({ message }) => message.includes(rule.reason));
    expect(result.ok).toBe(rule.status === 'ignored');
    expect(found).toHaveLength(1);
    expect(found[0]?.code).toBe(rule.status === 'ignored' ? 'ignored' : 'unsupported');
    expect(found[0]?.pointer.endsWith(`/${path.split('.').at(-1)}`)).toBe(true);
    expect(found[0]?.message).toContain(path.split('.').at(-1));
  });

  it.each([
    ['networks: {n: {ipv4_address: 10.0.0.1}}', 'ipv4_address'],
    ['ports: [{target: 80, host_ip: 127.0.0.1}]', 'host_ip'],
    ['volumes: [{type: bind, source: /a, target: /a, bind: {create_host_path: true}}]', 'create_host_path'],
    ['volumes: [{type: volume, target: /a, volume: {subpath: x}}]', 'subpath'],
  ])('refuses inside lists and maps: %s', (keys, key) => {
    expect(errors(web(keys, 'networks: {n: {}}\n'))).toMatchObject([{ code: 'unsupported', message: expect.stringContaining(key) }]);
  });
});

describe('values', () => {
  it('reads a plain service with every default left open', () => {
    expect(read('services: {web: {image: acme/web:1}}')).toEqual({
      ok: true,
      warnings: [],
      file: {
        services: {
          web: {
            image: 'acme/web:1',
            environment: {},
            labels: {},
            networks: [{ name: 'default', aliases: [], driverOpts: {} }],
            mounts: [],
            configs: [],
            secrets: [],
            ports: [],
            capAdd: [],
            capDrop: [],
            sysctls: {},
            ulimits: {},
            dns: [],
            dnsSearch: [],
            dnsOptions: [],
            extraHosts: [],
            deploy: { mode: 'replicated', labels: {}, constraints: [], spread: [] },
          },
        },
        networks: {},
        volumes: {},
        configs: {},
        secrets: {},
      },
    });
  });

  it.each([
    ['"8080:80"', [[80, 8080, 'tcp', 'ingress']]],
    ['80', [[80, 0, 'tcp', 'ingress']]],
    ['"53:53/udp"', [[53, 53, 'udp', 'ingress']]],
    ['"0.0.0.0:81:80"', [[80, 81, 'tcp', 'ingress']]],
    [
      '"3000-3002"',
      [
        [3000, 0, 'tcp', 'ingress'],
        [3001, 0, 'tcp', 'ingress'],
        [3002, 0, 'tcp', 'ingress'],
      ],
    ],
    [
      '"9000-9001:80-81/sctp"',
      [
        [80, 9000, 'sctp', 'ingress'],
        [81, 9001, 'sctp', 'ingress'],
      ],
    ],
    [
      '"9000-9001:80"',
      [
        [80, 9000, 'tcp', 'ingress'],
        [80, 9001, 'tcp', 'ingress'],
      ],
    ],
    ['{target: 80}', [[80, 0, 'tcp', 'ingress']]],
    ['{target: 80, published: "8080", protocol: udp, mode: host}', [[80, 8080, 'udp', 'host']]],
    ['"${P}:80"', [[80, 7070, 'tcp', 'ingress']]],
    ['{target: "$P"}', [[7070, 0, 'tcp', 'ingress']]],
  ])('port %s', (port, expected) => {
    const ports = service(`ports: [${port}]`, '', { P: '7070' })?.ports.map(({ target, published, protocol, mode }) => [
      target,
      published,
      protocol,
      mode,
    ]);
    expect(ports).toEqual(expected);
  });

  it.each([
    ['"127.0.0.1:80:80"', 'invalid'],
    ['"[::1]:80:80"', 'invalid'],
    ['"80:80/icmp"', 'invalid'],
    ['"0"', 'invalid'],
    ['"70000:80"', 'invalid'],
    ['"9000-9002:80-81"', 'invalid'],
    ['"82-81"', 'invalid'],
    ['""', 'invalid'],
    ['1.5', 'invalid'],
    ['{published: 80}', 'missing'],
    ['{target: 80, published: "80-90"}', 'invalid'],
    ['{target: 80, mode: bridge}', 'invalid'],
    ['"80:80", "80:81"', 'conflict'],
    ['"1-2000"', 'limit'],
  ])('no port: %s', (port, code) => {
    const found = errors(web(`ports: [${port}]`));
    expect(found.map((notice) => notice.code)).toEqual([code]);
    expect(found[0]?.pointer).toMatch(/^\/services\/web\/ports/);
  });

  it('refuses a published port of two services, and ingress beside dnsrr', () => {
    expect(errors('services:\n  a: {image: a, ports: ["80:80"]}\n  b: {image: a, ports: ["80:81"]}\n')).toMatchObject([
      { code: 'conflict', pointer: '/services/b/ports' },
    ]);
    expect(errors('services:\n  a: {image: a, ports: ["80:80"]}\n  b: {image: a, ports: ["80:81/udp"]}\n')).toEqual([]);
    expect(errors(web('ports: ["80:80"], deploy: {endpoint_mode: dnsrr}'))).toMatchObject([
      { code: 'conflict', pointer: '/services/web/deploy/endpoint_mode' },
    ]);
  });

  it.each([
    ['data:/data', { type: 'volume', source: 'data', target: '/data' }],
    ['data:/data:ro,nocopy', { type: 'volume', source: 'data', target: '/data', readOnly: true, noCopy: true }],
    ['/data', { type: 'volume', target: '/data' }],
    ['/etc/x:/x:rw,rslave', { type: 'bind', source: '/etc/x', target: '/x', propagation: 'rslave' }],
    [
      '{type: volume, source: data, target: /d, read_only: true, volume: {nocopy: true}}',
      { type: 'volume', source: 'data', target: '/d', readOnly: true, noCopy: true },
    ],
    [
      '{type: bind, source: /a, target: /d, bind: {propagation: shared}}',
      { type: 'bind', source: '/a', target: '/d', propagation: 'shared' },
    ],
    ['{type: tmpfs, target: /d, tmpfs: {size: 64m, mode: 01777}}', { type: 'tmpfs', target: '/d', sizeBytes: 64 * 2 ** 20, mode: 0o1777 }],
  ])('mount %s', (mount, expected) => {
    const text = mount.startsWith('{') ? mount : `"${mount}"`;
    expect(service(`volumes: [${text}]`, 'volumes: {data: }\n')?.mounts).toEqual([{ ...expected, pointer: '/services/web/volumes/0' }]);
  });

  it.each([
    '"./data:/data"',
    '"~/x:/x"',
    '"../x:/x"',
    '"sub/x:/x"',
    '"nowhere:/x"',
    '"data:x"',
    '"data:/"',
    '"data:/a/../b"',
    '"/a/../b:/b"',
    '"data:/a:z"',
    '"data:/a:what"',
    '"a:b:c:d"',
    '"data:"',
    '"data:/a:rshared"',
    '{type: bind, target: /x}',
    '{type: tmpfs, source: data, target: /x}',
    '{type: npipe, source: a, target: /x}',
    '{type: volume, source: data}',
    '{target: /x}',
    '{type: volume, source: /abs, target: /x}',
    '{type: volume, target: /x, tmpfs: {size: 1}}',
    '"data:/x", "data:/x/"',
    '{type: cluster, source: a, target: /x}',
  ])('no mount: %s', (mount) => expect(errors(web(`volumes: [${mount}]`, 'volumes: {data: {}}\n')).length).toBeGreaterThan(0));

  it('reads environment and labels in both forms', () => {
    const values = { A: '1', B: 'x=y', C: '', D: 'true', E: '1.5', F: 'env', G: null };
    expect(service('environment: {A: 1, B: "x=y", C: "", D: true, E: 1.5, F: , G: null}', '', { F: 'env' })?.environment).toEqual(values);
    expect(service('environment: [A=1, "B=x=y", C=, D=true, E=1.5, F, G]', '', { F: 'env' })?.environment).toEqual(values);
    expect(service('labels: [a=1, b], deploy: {labels: {c: 2, d: }}')).toMatchObject({
      labels: { a: '1', b: '' },
      deploy: { labels: { c: '2', d: '' } },
    });
    expect(read(web('environment: [G]')).warnings).toMatchObject([{ code: 'attention', pointer: '/services/web/environment/0' }]);
    for (const bad of [
      'environment: [A=1, A=2]',
      'environment: [=x]',
      'environment: {"a=b": c}',
      'environment: {V: 1.10}',
      'environment: {V: 010}',
      'environment: {V: 0x1f}',
      'environment: {V: 1e3}',
      'environment: {V: 12345678901234567890}',
      'environment: {V: [a]}',
      'labels: {io.gantry.collection: /}',
      'deploy: {labels: [com.docker.stack.namespace=x]}',
      'environment: {V: .inf}',
    ]) {
      expect([bad, errors(web(bad)).length]).toEqual([bad, 1]);
    }
  });

  it('reads modes as octal, and warns of a decimal that looks so', () => {
    const mode = (text: string) => read(web(`configs: [{source: c, mode: ${text}}]`, 'configs: {c: {content: x}}\n'));
    expect(
      [mode('0440'), mode('"0440"'), mode('0o440'), mode('288'), mode('"440"')].map(({ file }) => file.services.web?.configs[0]?.mode),
    ).toEqual([288, 288, 288, 288, 288]);
    expect(mode('444').file.services.web?.configs[0]?.mode).toBe(444);
    expect(mode('444').warnings).toMatchObject([{ code: 'attention' }]);
    for (const bad of ['"999"', '99999', '-1', '"rw"'])
      expect(errors(web(`configs: [{source: c, mode: ${bad}}]`, 'configs: {c: {content: x}}\n'))).toHaveLength(1);
  });

  it.each([
    ['command: "a \'b c\'"', { command: ['a', 'b c'] }],
    ['command: [a, "b c"]', { command: ['a', 'b c'] }],
    ['command: null, entrypoint: /x', { entrypoint: ['/x'] }],
    ['healthcheck: {test: ["NONE"]}', { healthcheck: { test: ['NONE'] } }],
    ['healthcheck: {disable: true}', { healthcheck: { test: ['NONE'] } }],
    ['healthcheck: {disable: "yes"}', { healthcheck: { test: ['NONE'] } }],
    [
      'healthcheck: {test: ["CMD", "x"], interval: 1m30s, retries: "5"}',
      { healthcheck: { test: ['CMD', 'x'], intervalNs: 90e9, retries: 5 } },
    ],
    ['user: 1000, group_add: [5, audio]', { user: '1000', groupAdd: ['5', 'audio'] }],
    ['dns: 1.1.1.1, dns_search: [a.b], dns_opt: [ndots:1]', { dns: ['1.1.1.1'], dnsSearch: ['a.b'], dnsOptions: ['ndots:1'] }],
    ['extra_hosts: ["a:1.2.3.4", "b=::1", "c:[fd00::2]"]', { extraHosts: ['1.2.3.4 a', '::1 b', 'fd00::2 c'] }],
    ['extra_hosts: {a: 1.2.3.4, b: [1.1.1.1, 2.2.2.2]}', { extraHosts: ['1.2.3.4 a', '1.1.1.1 b', '2.2.2.2 b'] }],
    ['sysctls: [net.ipv4.ip_forward=1]', { sysctls: { 'net.ipv4.ip_forward': '1' } }],
    ['ulimits: {nofile: {soft: 1, hard: 2}, nproc: -1}', { ulimits: { nofile: { soft: 1, hard: 2 }, nproc: { soft: -1, hard: -1 } } }],
    ['cap_add: [net_admin, CAP_SYS_TIME, NET_ADMIN], cap_drop: [all]', { capAdd: ['CAP_NET_ADMIN', 'CAP_SYS_TIME'], capDrop: ['ALL'] }],
    [
      'deploy: {replicas: "${N}", resources: {limits: {cpus: 0.50, memory: 1g}}}',
      { deploy: { replicas: 4, limits: { nanoCpus: 5e8, memoryBytes: 2 ** 30 } } },
    ],
    ['deploy: {resources: {limits: {cpus: "${CPU}"}}}', { deploy: { limits: { nanoCpus: 25e7 } } }],
    [
      'deploy: {update_config: {parallelism: 0, max_failure_ratio: 0.25, failure_action: rollback}}',
      { deploy: { updateConfig: { parallelism: 0, maxFailureRatio: 0.25, failureAction: 'rollback' } } },
    ],
    ['deploy: null', { deploy: { mode: 'replicated' } }],
    ['networks: [n]', { networks: [{ name: 'n' }] }],
    ['networks: {n: {aliases: [x], driver_opts: {a: 1}}}', { networks: [{ name: 'n', aliases: ['x'], driverOpts: { a: '1' } }] }],
  ])('takes %s', (keys, expected) => expect(service(keys, 'networks: {n: }\n', { N: '4', CPU: '0.25' })).toMatchObject(expected));

  it.each([
    'image: b',
    'hostname: 5',
    'init: maybe',
    'entrypoint: []',
    'command: "a \'b"',
    'command: {a: b}',
    'healthcheck: {test: [x]}',
    'healthcheck: {test: [CMD]}',
    'healthcheck: {test: x, disable: true}',
    'healthcheck: {interval: 10}',
    'healthcheck: {interval: 1us}',
    'healthcheck: {retries: -1}',
    'dns: example.com',
    'extra_hosts: [a]',
    'extra_hosts: ["a:host-gateway"]',
    'working_dir: rel',
    'user: "a b"',
    'stop_grace_period: soon',
    'ulimits: {nofile: {soft: 3}}',
    'ulimits: {nofile: {soft: 3, hard: 2}}',
    'ulimits: {NOFILE: 1}',
    'cap_add: ["a b"]',
    'cap_add: [ALL], cap_drop: [ALL]',
    'networks: [missing]',
    'networks: [n, n]',
    'configs: [missing]',
    'secrets: [{source: missing}]',
    'secrets: [{target: x}]',
    'deploy: {mode: swarm}',
    'deploy: {mode: global, replicas: 2}',
    'deploy: {mode: global, placement: {max_replicas_per_node: 1}}',
    'deploy: {mode: global-job, update_config: {order: stop-first}}',
    'deploy: {mode: replicated-job, restart_policy: {condition: any}}',
    'deploy: {replicas: -1}',
    'deploy: {replicas: 1.5}',
    'deploy: {replicas: 010}',
    'deploy: {resources: {limits: {cpus: -1}}}',
    'deploy: {resources: {limits: {cpus: 0.0001}}}',
    'deploy: {resources: {limits: {memory: 1M}}}',
    'deploy: {resources: {limits: {memory: lots}}}',
    'deploy: {placement: {constraints: [node.role]}}',
    'deploy: {placement: {preferences: [{}]}}',
    'deploy: {placement: {preferences: [{spread: role}]}}',
    'deploy: {update_config: {max_failure_ratio: 2}}',
    'deploy: {rollback_config: {failure_action: rollback}}',
    'deploy: {endpoint_mode: lb}',
    'deploy: []',
    'deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu}}]}}}',
    'tmpfs: "/run:uid=1"',
    'tmpfs: run',
    'logging: {driver: "a b"}',
  ])('refuses %s', (keys) => {
    const found = errors(web(keys, 'networks: {n: {}}\n'));
    expect(found.length).toBeGreaterThan(0);
    for (const { pointer, line, message } of found) {
      expect(pointer).toMatch(/^\/services\/web\//);
      expect(line).toBe(2);
      expect(message).toMatch(/^\w/);
    }
  });

  it.each([
    ['services: {}', '/services'],
    ['services: {web: {build: .}}', '/services/web'],
    ['services: {web: }', '/services/web'],
    ['services: {"a.b": {image: a}}', '/services/a.b'],
    ['services: {-a: {image: a}}', '/services/-a'],
    ['services: {web: {image: "UPPER"}}', '/services/web/image'],
    ['services: {web: {image: "a@sha256:12"}}', '/services/web/image'],
    [`${web('hostname: a')}networks: {n: {driver: bridge}}`, '/networks/n/driver'],
    [`${web('hostname: a')}networks: {n: {external: true, driver: overlay}}`, '/networks/n/driver'],
    [`${web('hostname: a')}networks: {n: {ipam: {config: [{subnet: 10.0.0.0}]}}}`, '/networks/n/ipam/config/0/subnet'],
    [`${web('hostname: a')}volumes: {n: {name: "a/b"}}`, '/volumes/n/name'],
    [`${web('hostname: a')}volumes: {n: {external: {name: a}, name: b}}`, '/volumes/n/external'],
    [`${web('hostname: a')}configs: {n: {}}`, '/configs/n'],
    [`${web('hostname: a')}configs: {n: {content: ""}}`, '/configs/n/content'],
    [`${web('hostname: a')}configs: {n: {content: a, environment: B}}`, '/configs/n/environment'],
    [`${web('hostname: a')}configs: {n: {environment: NOT_THERE}}`, '/configs/n/environment'],
    [`${web('hostname: a')}configs: {n: {content: a, template_driver: jinja}}`, '/configs/n/template_driver'],
    [`${web('hostname: a')}secrets: {n: {external: true, environment: B}}`, '/secrets/n/environment'],
  ])('refuses %s', (text, pointer) => expect(errors(text).map((notice) => notice.pointer)).toContain(pointer));

  it('warns of what has no effect', () => {
    const { warnings } = read(
      `version: "3"\nname: x\n${web(
        'build: ., container_name: c, depends_on: {a: {condition: service_healthy}}, restart: always, expose: [80]',
        'networks: {idle: {}}\nvolumes: {idle: {}}\n',
      )}`,
    );
    expect(warnings.map(({ pointer }) => pointer)).toEqual([
      '/version',
      '/name',
      '/services/web/build',
      '/services/web/container_name',
      '/services/web/depends_on',
      '/services/web/restart',
      '/services/web/expose',
      '/networks/idle',
      '/volumes/idle',
    ]);
    expect(new Set(warnings.map(({ code }) => code))).toEqual(new Set(['ignored']));
  });

  it('names an undefined variable, and never shows what a variable holds', () => {
    expect(errors(web('hostname: "${HOST}"'))).toMatchObject([
      { code: 'variable', pointer: '/services/web/hostname', line: 2, message: expect.stringContaining('HOST') },
    ]);
    const secret = 's3cr3t-"value';
    for (const keys of [
      'init: $S',
      'ports: ["$S:80"]',
      'volumes: ["$S:/x"]',
      'networks: ["$S"]',
      'deploy: {mode: $S}',
      'command: $S',
      'healthcheck: {interval: $S}',
      'dns: $S',
      'configs: [$S]',
      'extra_hosts: [$S]',
      'deploy: {resources: {limits: {cpus: $S, memory: $S}}}',
      'environment: ["$S", "$S"]',
      'labels: ["io.gantry.$S"]',
      'configs: [{source: c, mode: $S}]',
      'image: $S',
      'volumes: ["volumename$S:/x"]',
      'networks: ["net${N}"]',
    ]) {
      const found = errors(web(keys).replace('image: acme/web, image', 'image'), { S: secret, N: 's3cr3t' });
      expect([keys, found.length > 0]).toEqual([keys, true]);
      expect(JSON.stringify(found)).not.toContain('s3cr3t');
    }
  });
});

describe('properties', () => {
  it('never throws on random text, and is the same twice', () => {
    const token = fc.constantFrom(
      'services',
      'web',
      'image',
      'deploy',
      'ports',
      'volumes',
      ': ',
      ':',
      '- ',
      '\n',
      '\n  ',
      '\n    ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '&a ',
      '*a',
      '<<',
      '"',
      "'",
      '|',
      '>',
      '#',
      '!',
      '!!str ',
      '%',
      '---',
      '...',
      '?',
      '$',
      '${',
      '}',
      '80',
      '0440',
      'true',
      'null',
      '\t',
      '\0',
      '\uFEFF',
      'a',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(token, { maxLength: 60 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (input) => {
        const first = parseCompose(input, { variables: {} });
        expect(parseCompose(input, { variables: {} })).toEqual(first);
        if (!first.ok) expect(first.errors.length).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });

  it('never throws on any JSON in the place of any key', () => {
    const keys = [...composeKeys.keys()]
      .filter((path) => path.startsWith('services.*.') && !/[*[]/.test(path.slice(11)))
      .map((path) => path.slice(11).split('.'));
    fc.assert(
      fc.property(fc.constantFrom(...keys), fc.jsonValue({ maxDepth: 3 }), (path, value) => {
        const inner = path.reduceRight<unknown>((held, key) => ({ [key]: held }), value) as object;
        const result = parseCompose(JSON.stringify({ services: { web: { image: 'a', ...inner } } }), { variables: {} });
        for (const { pointer } of result.ok ? result.warnings : result.errors) expect(pointer === '' || pointer.startsWith('/')).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  it('loses no service', () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9])?$/);
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 30 }), (names) => {
        const { file } = read(`services:\n${names.map((one) => `  "${one}": {image: acme/i}\n`).join('')}`);
        expect(Object.keys(file.services).sort()).toEqual([...names].sort());
      }),
    );
  });
});
