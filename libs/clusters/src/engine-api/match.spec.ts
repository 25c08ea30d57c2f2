import fc from 'fast-check';
import { matchEngineCall, type EngineMatch, type EngineRefusal } from './match';
import { engineTable, newestMinor } from './table';

const found = (method: string, target: string): EngineMatch => {
  const match = matchEngineCall(method, target);
  if (match.row === null) throw new Error(`${target}: ${match.message}`);
  return match;
};
const status = (method: string, target: string): number | string => {
  const match: EngineMatch | EngineRefusal = matchEngineCall(method, target);
  return match.row === null ? match.status : match.row.name;
};

const example = (path: string): string => path.replace(/\{\w+\}/, 'thing');

describe('matching', () => {
  it('finds every row by its template, bare and with every version that has it', () => {
    for (const row of engineTable) {
      expect(found(row.method, example(row.path)).row).toBe(row);
      for (let minor = 24; minor <= newestMinor; minor += 1) {
        const match = matchEngineCall(row.method, `/v1.${minor}${example(row.path)}`);
        if (minor >= row.since) expect(match).toMatchObject({ row: { name: row.name }, minor, versioned: true });
        else expect(match).toMatchObject({ row: null, status: 400 });
      }
    }
  });

  it('takes references with slashes, ports and digests where names may have them', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    for (const name of ['alpine', 'alpine:3.19', '127.0.0.1:5000/acme/web:1', `acme/web@${digest}`, digest, 'json/json', 'get/get', 'push']) {
      expect(found('GET', `/v1.41/images/${name}/json`)).toMatchObject({ name, path: `/images/${name}/json`, row: { name: 'GET /images/{name}/json' } });
      expect(found('POST', `/images/${name}/push?tag=1`)).toMatchObject({ name, row: { name: 'POST /images/{name}/push' } });
      expect(found('DELETE', `/images/${name}`)).toMatchObject({ name, row: { name: 'DELETE /images/{name}' } });
      expect(found('GET', `/distribution/${name}/json`)).toMatchObject({ name });
      expect(found('GET', `/plugins/${name}/json`)).toMatchObject({ name });
    }
    expect(found('GET', '/images/acme%2Fweb%40sha256:00/json')).toMatchObject({ name: 'acme/web@sha256:00', path: '/images/acme/web@sha256:00/json' });
    expect(found('GET', '/images/get?names=a&names=b').query).toEqual([['names', 'a'], ['names', 'b']]);
    expect(found('GET', '/containers/json').row.name).toBe('GET /containers/json');
    expect(found('GET', '/containers/json/json')).toMatchObject({ name: 'json' });
    expect(found('GET', '/containers/a/attach/ws').row.name).toBe('GET /containers/{id}/attach/ws');
  });

  it.each([
    ['GET', '/'], ['GET', '/containers'], ['GET', '/Containers/json'], ['GET', '/containers/JSON'], ['get', '/containers/json'], ['PATCH', '/containers/json'], ['OPTIONS', '/containers/json'], ['HEAD', '/containers/json'],
    ['POST', '/containers/json'], ['GET', '/containers/x'], ['GET', '/containers/a/b/json'], ['POST', '/containers/x/checkpoints'], ['GET', '/debug/pprof'], ['GET', '/metrics'], ['GET', '/libpod/info'],
    ['GET', '/images/x'], ['POST', '/images/x'], ['POST', '/plugins/x/unknown'], ['TRACE', '/_ping'], ['CONNECT', '/_ping'], ['GET', '/v1.41'], ['GET', '/services/x/y'], ['GET', '/x/y'], ['GET', '/__proto__/json'], ['GET', '/constructor'],
    ['POST', '/containers/x/copy'], ['GET', '/containers/x/attach/ws/y'], ['GET', '/v1/containers/json'], ['GET', '/v1.41.0/containers/json'], ['GET', '/V1.41/containers/json'],
  ])('answers 403 to what is in no row: %s %s', (method, target) => {
    expect(status(method, target)).toBe(403);
  });

  it.each([
    'http://engine/containers/json', '//engine/containers/json', '*', '', 'containers/json', 'engine:2375', '/containers//json', '/containers/x/json/', '/_ping/', '/images/x/', '/containers/./json', '/containers/../json', '/containers/x/../json', '/containers/%2e%2e/json', '/containers/%2E/json',
    '/images/../containers/json', '/images/a/../b/json', '/images/a%2F..%2Fb/json', '/images/a%2F%2Fb/json', '/containers/a%2Fb/json', '/containers/a%2fjson', '/containers%2Fjson', '/%63ontainers/json', '/containers/jso%6E', '/containers/x/jso%6e',
    '/containers/x%00/json', '/containers/x%0a/json', '/containers/x\u0000/json', '/containers/x y/json', '/containers/x%20y/json', '/containers/x%/json', '/containers/x%zz/json', '/containers/x%c0%af/json', '/containers/x%252Fy/json', '/containers/\u017f/json',
    '/containers/x%c5%bf/json', '/containers/x#y/json', '/containers/x\\y/json', '/containers/x;y/json', '/containers/-x/json', '/containers/x:y/json', '/containers/{id}/json', '/containers/*/json', '/images/%2Fx/json', '/images/-x/json',
    '/v1.999/containers/json', '/v1.56/containers/json', '/v1.23/containers/json', '/v2.0/containers/json', '/v1.041/containers/json', '/v0.41/containers/json', '/v01.41/containers/json', '/v1.41/v1.40/containers//json',
    `/containers/${'x'.repeat(256)}/json`, `/containers/json?all=${'1'.repeat(70_000)}`,
  ])('answers 400 to a target that no client writes: %j', (target) => {
    expect(status('GET', target)).toBe(400);
  });

  it('does not take a version twice', () => {
    expect(status('GET', '/v1.41/v1.40/containers/json')).toBe(403);
  });

  it.each([
    ['/containers/json?All=1', 'another spelling'], ['/containers/json?all=1&all=0', 'given twice'], ['/containers/json?all=1&%61ll=0', 'given twice in another spelling'], ['/containers/json?x=1', 'unknown'], ['/containers/json?=1', 'no name'],
    ['/containers/json?all=1;limit=1', 'a semicolon'], ['/containers/json?all=%', 'a bad escape'], ['/containers/json?all=%00', 'a NUL'], ['/containers/json?all=%ff', 'bad UTF-8'], ['/containers/json?__proto__=1', 'a name of objects'],
    ['/containers/json?toString=1', 'a name of objects'], ['/containers/json?all=1#x', 'a fragment'], ['/containers/json?all=1 HTTP/1.1', 'white space'], ['/_ping?x', 'a parameter where there is none'], ['/v1.41/images/x/json?manifests=1', 'newer than the version'],
    ['/containers/json??all=1', 'a second question mark'], ['/containers/json?all%00=1', 'a NUL in the name'],
  ])('refuses a query: %s (%s)', (target) => {
    expect(status('GET', target)).toBe(400);
  });

  it('takes what 1.41 has from clients of older versions, and nothing newer', () => {
    expect(found('GET', '/v1.24/services?status=true').query).toEqual([['status', 'true']]);
    expect(status('GET', '/v1.24/images/json?manifests=1')).toBe(400);
    expect(status('POST', '/v1.24/containers/prune')).toBe(400);
  });

  it('decodes queries as engines do', () => {
    expect(found('GET', '/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a+b%22%5D%7D&size').query).toEqual([['all', '1'], ['filters', '{"label":["a b"]}'], ['size', '']]);
    expect(found('GET', '/containers/json?').query).toEqual([]);
    expect(found('GET', '/containers/json?&&all=1&').query).toEqual([['all', '1']]);
  });

  it('tells parameters that repeat a member of the body apart, where clients write both', () => {
    expect(found('POST', '/containers/create?name=web&Image=x&HostConfig=%7B%7D')).toMatchObject({ query: [['name', 'web']], doubled: ['Image', 'HostConfig'] });
    expect(found('POST', '/containers/create?Cmd=sh&Cmd=-c&Env=A').doubled).toEqual(['Cmd', 'Env']);
    expect(found('POST', '/containers/create?name=web').doubled).toBeUndefined();
    // Not members, members within members, another case, given twice, objects' own names, and other calls.
    for (const query of ['x=1', 'Binds=%5B%5D', 'Privileged=true', 'image=x', 'HOSTCONFIG=x', 'Image=x&Image=x', 'toString=1', '__proto__=1']) expect(status('POST', `/containers/create?${query}`)).toBe(400);
    for (const target of ['/services/create?Name=x', '/volumes/create?Name=x', '/networks/create?Name=x', '/containers/x/update?Memory=1', '/containers/x/start?HostConfig=x']) expect(status('POST', target)).toBe(400);
  });

  it('gives a path that is matched the same again, for whatever it takes', () => {
    const part = fc.constantFrom('containers', 'images', 'json', 'get', 'push', 'x', 'acme', '..', '.', '', '%2F', '%2e', 'v1.41', '/', '//', '%25', '@', ':', 'plugins', 'exec', 'networks', 'ſ', '%00', '?all=1', ';');
    const methods = fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'HEAD');
    const anything = fc.tuple(methods, fc.array(part, { maxLength: 7 }).map((parts) => `/${parts.join('/')}`));
    // Every other one a row's own path with such parts for its name, so that many are taken whatever the seed.
    const rows = fc.tuple(fc.constantFrom(...engineTable), fc.array(part, { minLength: 1, maxLength: 3 }))
      .map(([row, parts]): [string, string] => [row.method, row.path.replace(/\{\w+\}/, parts.join('/'))]);
    let taken = 0;
    fc.assert(fc.property(fc.oneof(anything, rows), ([method, target]) => {
      const match = matchEngineCall(method, target);
      if (match.row === null) return;
      taken += 1;
      expect(match.path).toMatch(/^(?:\/[A-Za-z0-9_@:][A-Za-z0-9._@:+~-]*)+$/);
      const again = matchEngineCall(method, `/v1.${match.minor}${match.path}`);
      expect(again).toMatchObject({ row: { name: match.row.name }, name: match.name, path: match.path });
    }), { numRuns: 5000 });
    expect(taken).toBeGreaterThan(500);
  });

  it('takes a few microseconds at the most', () => {
    const targets = ['/v1.41/containers/json?all=1', '/v1.41/containers/0123456789ab/json', '/_ping', '/v1.41/images/127.0.0.1:5000/acme/web:1/json', '/v1.41/services/web/logs?follow=1&stdout=1&tail=all'];
    for (let round = 0; round < 5000; round += 1) for (const target of targets) matchEngineCall('GET', target);
    // The best of many short stretches, so that other work on the machine is left out.
    const best = Math.min(...Array.from({ length: 300 }, () => {
      const start = process.hrtime.bigint();
      for (let round = 0; round < 100; round += 1) for (const target of targets) matchEngineCall('GET', target);
      return Number(process.hrtime.bigint() - start) / 100 / targets.length;
    }));
    // A goal of 2 µs; the bound leaves room for a machine that does other work.
    expect(best).toBeLessThan(10_000);
  });
});
