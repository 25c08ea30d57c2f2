import { engineTable } from '../engine-api/table';
import { inspectPath, missingMessage, readSeen } from './objects';
import { OwnershipIndex } from './ownership-index';
import { parseReference } from './references';
import { refOf } from './refs';
import { howPassed, whyRefused } from './ways';

const digest = `sha256:${'a'.repeat(64)}`;

describe('references of images', () => {
  it.each([
    ['reg:5000/acme/web', { path: 'acme/web', tag: 'latest', digest: null }],
    ['reg:5000/acme/web:1.0', { path: 'acme/web', tag: '1.0', digest: null }],
    ['reg:5000/acme/team/web:1', { path: 'acme/team/web', tag: '1', digest: null }],
    [`reg:5000/acme/web@${digest}`, { path: 'acme/web', tag: 'latest', digest }],
    [`reg:5000/acme/web:1.0@${digest}`, { path: 'acme/web', tag: '1.0', digest }],
  ])('takes %s apart', (reference, parts) => expect(parseReference(reference, 'reg:5000')).toEqual(parts));

  it.each([
    'alpine', 'acme/web:1', 'reg:5001/acme/web', 'REG:5000/acme/web', 'reg:5000/web', 'reg:5000//acme/web', 'reg:5000/acme/../web', 'reg:5000/Acme/web', 'reg:5000/acme/web:', 'reg:5000/acme/web@sha256:abc',
    `reg:5000/acme/web@${digest}@${digest}`, `reg:5000/acme/web@${digest}:1`, digest, 'a'.repeat(64), 'reg:5000/acme/web:1\n', ' reg:5000/acme/web', 'reg:5000/acme/web:1 ', `reg:5000/acme/web@sha512:${'a'.repeat(128)}`, '',
  ])('is none of ours: %j', (reference) => expect(parseReference(reference, 'reg:5000')).toBeNull());
});

describe('what goes on', () => {
  const passed = engineTable.filter(({ name }) => howPassed(name) !== null);

  it('are rows of the table, and none of those that nothing judges yet', () => {
    expect(passed.length).toBeGreaterThan(60);
    for (const { name, body, registryAuth } of passed) {
      // What is an archive goes into a container that is judged, or becomes an image with a name that is.
      if (body.is === 'stream' && body.of === 'tar') expect(['PUT /containers/{id}/archive', 'POST /images/create', 'POST /images/load', 'POST /build']).toContain(name);
      if (howPassed(name)!.registryAuth) expect([name, registryAuth]).toEqual([name, true]);
    }
    expect(passed.filter(({ name }) => howPassed(name)!.registryAuth).map(({ name }) => name)).toEqual(['POST /images/create', 'POST /images/{name}/push', 'GET /distribution/{name}/json', 'POST /build']);
    const within = (area: string): string[] => passed.filter(({ path }) => path.startsWith(area)).map(({ name }) => name).sort();
    expect(within('/grpc')).toEqual(['POST /grpc']);
    // Plugins are looked at; what makes a swarm, or ends it, is for the engine's own socket.
    expect(within('/plugins')).toEqual(['GET /plugins', 'GET /plugins/{name}/json']);
    expect(within('/swarm/')).toEqual(['GET /swarm/unlockkey', 'POST /swarm/unlock', 'POST /swarm/update']);
    for (const { name } of engineTable) if (howPassed(name) !== null) expect([name, whyRefused(name)]).toEqual([name, null]);
    for (const name of ['POST /swarm/leave', 'POST /swarm/init', 'POST /swarm/join', 'POST /plugins/pull', 'POST /plugins/{name}/enable']) expect(whyRefused(name)).toMatch(/itself/);
  });

  it('asks for an operation wherever it tells or changes anything', () => {
    // A sign-in tells whether a password is right, to whom has it.
    for (const { name, operations } of passed) if (!['GET /_ping', 'HEAD /_ping', 'GET /version', 'POST /auth'].includes(name)) expect([name, operations.length > 0]).toEqual([name, true]);
  });

  it('knows how every object that a path names is asked for', () => {
    // A build that goes on is known by a name of ours, and to nobody but who has begun it.
    for (const { target } of passed) if (target.how === 'one' && target.kind !== 'build') expect(inspectPath(target.kind, 'x')).toContain('x');
  });
});

describe('whose an object is', () => {
  const owners = new OwnershipIndex('c1');

  it('is the cluster’s for what belongs to it as such, and nobody’s otherwise', () => {
    const cluster = { kind: 'cluster', id: 'c1' };
    expect(refOf(owners, 'c1', { kind: 'node', id: 'n', name: '', partOf: null })).toEqual({ kind: 'node', id: 'n', parent: cluster });
    expect(refOf(owners, 'c1', { kind: 'network', id: 'b', name: 'bridge', partOf: null })).toEqual({ kind: 'network', id: 'b', parent: cluster });
    for (const seen of [{ kind: 'container' as const, id: 'x', name: 'bridge' }, { kind: 'network' as const, id: 'x', name: 'other' }, { kind: 'volume' as const, id: 'v', name: 'v' }, { kind: 'image' as const, id: 'i', name: '' }]) {
      expect(refOf(owners, 'c1', { ...seen, partOf: null })).toEqual({ kind: seen.kind, id: seen.id, parent: { kind: 'system', id: 'system' } });
    }
    expect(refOf(owners, 'c1', { kind: 'container', id: 'x', name: '', partOf: { kind: 'service', id: 's' } })).toEqual({ kind: 'service', id: 's', parent: { kind: 'system', id: 'system' } });
  });
});

describe('what engines tell of objects', () => {
  it('is read by kind', () => {
    expect(readSeen('container', { Id: 'c', Name: '/web', Config: { Labels: { a: 'b', 'com.docker.swarm.service.id': 's' } } })).toMatchObject({ id: 'c', name: 'web', labels: { a: 'b' }, partOf: { kind: 'service', id: 's' } });
    expect(readSeen('task', { ID: 't', ServiceID: 's' })).toMatchObject({ id: 't', partOf: { kind: 'service', id: 's' } });
    expect(readSeen('exec', { ID: 'e', ContainerID: 'c' })).toMatchObject({ partOf: { kind: 'container', id: 'c' } });
    expect(readSeen('secret', { ID: 'x', Spec: { Name: 'pass', Labels: { a: 'b' } } })).toMatchObject({ id: 'x', name: 'pass', labels: { a: 'b' }, partOf: null });
    expect(readSeen('volume', { Name: 'v', Labels: null })).toMatchObject({ id: 'v', name: 'v', labels: {} });
    for (const nothing of [null, [], 'x', {}, { Id: 1 }]) expect(readSeen('container', nothing)).toBeNull();
  });

  it('is asked for in one step of the path', () => {
    expect(inspectPath('container', 'a/../b')).toBe('/containers/a%2F..%2Fb/json');
    expect(missingMessage('container', 'x')).toBe('No such container: x');
  });
});
