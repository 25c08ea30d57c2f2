import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gradeOf, isOperation } from '@gantry/access';
import type { Mark, Shape } from './shape';
import { engineTable, newestMinor, oldestMinor, type EngineRow } from './table';

/*
 * What the published API documents name, 1.25 to 1.55, in our own form: since; query parameters with the version that names each first; body
 * members as a tree whose leaves (and whose '' entries) are type letters, then `since` where it is later, then `-until` where it went.
 */
type Tree = { [name: string]: string | Tree };
interface Fact {
  since: number;
  query?: Record<string, number>;
  body?: Tree | string;
}
const facts = JSON.parse(readFileSync(join(__dirname, '../../test/fixtures/engine-api.json'), 'utf8')) as Record<string, Fact>;

/** Faults of the documents themselves, each with what is true. */
const documentFaults: Record<string, string> = {
  'Volumes.additionalProperties': 'a word of the schema language, taken for a member',
  'HostConfig.PortBindings.*.HostIp': 'every binding is a list of these',
  'HostConfig.PortBindings.*.HostPort': 'every binding is a list of these',
  'HostConfig.PortBindings.*': 'every binding is a list of these',
  'HostConfig.Mounts[].Type': 'a string with known values',
  'TaskTemplate.ContainerSpec.Mounts[].Type': 'a string with known values',
  'IPAM.Config[].*': 'the members by name, later',
  'IPAM.Options': 'a map since 1.39, and before in truth',
  'IPAM.Options[].*': 'a map since 1.39, and before in truth',
  Data: 'base64 in a string',
};

/** What is in the table although no document names it: real clients send it, or engines have it. */
const undocumentedRows = ['POST /build/cancel', 'POST /grpc'];

/** Rows whose bodies are streams, which nothing can look into. */
const streams = [
  'POST /build', 'POST /containers/{id}/attach', 'POST /grpc', 'POST /images/create', 'POST /images/load', 'POST /plugins/create', 'POST /session', 'PUT /containers/{id}/archive', 'GET /containers/{id}/attach/ws',
];

const rowOf = (name: string): EngineRow | undefined => engineTable.find((row) => row.name === name);
const letters: Record<Shape['is'], string> = { string: 's', integer: 'i', number: 'n', boolean: 'b', list: 'a', map: 'o', object: 'o', words: 'as' };

function bodyOf(name: string): Tree | null {
  const fact = facts[name]!.body;
  if (typeof fact === 'string') return fact.startsWith('as ') ? bodyOf(fact.slice(3)) : null;
  return fact ?? null;
}

/** Every member of a tree as [path, code]. */
function* leaves(tree: Tree, path = ''): Generator<[string, string]> {
  for (const [name, entry] of Object.entries(tree)) {
    const at = name === '' ? path : name === '[]' || path === '' ? `${path}${name}` : `${path}.${name}`;
    if (typeof entry === 'string') yield [at, entry];
    else yield* leaves(entry, at);
  }
}

function shapeAt(shape: Shape, path: string): Shape | undefined {
  let at: Shape | undefined = shape;
  for (const step of path.split(/\.|(?=\[\])/).filter((each) => each !== '')) {
    if (step === '[]') at = at?.is === 'list' ? at.item : undefined;
    else if (at?.is === 'map' && step === '*') at = at.value;
    else at = at?.is === 'object' && Object.hasOwn(at.members, step) ? at.members[step] : undefined;
  }
  return at;
}

function* shapes(shape: Shape, path = ''): Generator<[string, Shape]> {
  yield [path, shape];
  if (shape.is === 'list') yield* shapes(shape.item, `${path}[]`);
  if (shape.is === 'map') yield* shapes(shape.value, `${path}.*`);
  if (shape.is === 'object') for (const [name, member] of Object.entries(shape.members)) yield* shapes(member, path === '' ? name : `${path}.${name}`);
}

function* marksOf(row: EngineRow): Generator<Mark> {
  for (const parameter of Object.values(row.query)) {
    yield* parameter.marks;
    if (parameter.shape) for (const [, shape] of shapes(parameter.shape)) yield* shape.marks ?? [];
  }
  if (row.body.is === 'json') {
    for (const [, shape] of shapes(row.body.shape)) {
      yield* shape.marks ?? [];
      if (shape.is === 'map') yield* shape.keyMarks ?? [];
    }
  }
}

describe('the table against the published API', () => {
  it('has every path and method, since the same version (1.24 is documented in prose only)', () => {
    expect(Object.keys(facts)).toHaveLength(108);
    for (const [name, fact] of Object.entries(facts)) {
      const row = rowOf(name);
      expect([name, row?.since === fact.since || (fact.since === 25 && row?.since === oldestMinor), row?.until]).toEqual([name, true, newestMinor]);
    }
    expect(engineTable.filter((row) => facts[row.name] === undefined).map((row) => row.name)).toEqual(undocumentedRows);
    expect(engineTable.filter((row) => row.undocumented).map((row) => row.name)).toEqual(undocumentedRows);
  });

  it('knows every query parameter, and says of which no document knows', () => {
    let parameters = 0;
    for (const [name, fact] of Object.entries(facts)) {
      const query = rowOf(name)?.query ?? {};
      for (const [parameter, since] of Object.entries(fact.query ?? {})) {
        parameters += 1;
        expect([name, parameter, Object.hasOwn(query, parameter) && query[parameter]!.since <= since]).toEqual([name, parameter, true]);
      }
      const more = Object.keys(query).filter((parameter) => fact.query?.[parameter] === undefined);
      expect([name, more.sort()]).toEqual([name, Object.entries(query).flatMap(([parameter, { undocumented }]) => (undocumented ? [parameter] : [])).sort()]);
    }
    expect(parameters).toBe(179);
  });

  it('knows every body member with its type, and says of which no document knows', () => {
    let known = 0;
    for (const name of Object.keys(facts)) {
      const tree = bodyOf(name);
      if (tree === null) continue;
      const row = rowOf(name)!;
      if (row.body.is !== 'json') throw new Error(`${name} has no body shape`);
      const { shape } = row.body;
      for (const [path, code] of leaves(tree)) {
        known += 1;
        const fault = Object.hasOwn(documentFaults, path);
        const found = shapeAt(shape, path);
        if (!fault) {
          const type = code.split(' ')[0]!;
          expect([name, path, found === undefined ? 'missing' : type === '?' ? type : letters[found.is]]).toEqual([name, path, type]);
        }
        const since = / (\d+)/.exec(code)?.[1];
        if (found && since !== undefined && !fault) expect([name, path, (found.since ?? oldestMinor) <= Number(since)]).toEqual([name, path, true]);
      }
      const documented = new Set([...leaves(tree)].map(([path]) => path));
      const members = [...shapes(shape)];
      const undocumented = members.flatMap(([path, member]) => (member.undocumented ? [path] : []));
      for (const [path] of members) {
        const items = path.replace(/(?:\[\]|\.\*)+$/, '');
        const named = path === '' || items === '' || documented.has(path) || documented.has(items) || undocumented.some((outer) => path === outer || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[]`));
        expect([name, path, named]).toEqual([name, path, true]);
      }
    }
    expect(known).toBeGreaterThan(900);
  });

  it('fails on what is missing', () => {
    expect(rowOf('GET /containers/{id}/checkpoints')).toBeUndefined();
    const create = rowOf('POST /containers/create')!;
    if (create.body.is !== 'json') throw new Error('no shape');
    expect(shapeAt(create.body.shape, 'HostConfig.Bindss')).toBeUndefined();
    expect(shapeAt(create.body.shape, 'HostConfig.Mounts[].VolumeOptions.DriverConfig.Options.*')?.is).toBe('string');
  });
});

describe('every row', () => {
  it('that changes something has a body rule that is not anything', () => {
    for (const row of engineTable) {
      if (row.body.is === 'json') {
        // A shape without a fixed end would let anything through; there is no such shape, and none of these is empty.
        for (const [path, shape] of shapes(row.body.shape)) expect([row.name, path, ['string', 'integer', 'number', 'boolean', 'list', 'map', 'object', 'words'].includes(shape.is)]).toEqual([row.name, path, true]);
        if (row.body.shape.is === 'object') expect([row.name, Object.keys(row.body.shape.members).length > 0]).toEqual([row.name, true]);
        expect(row.body.maxBytes).toBeLessThanOrEqual(4 * 1024 * 1024);
      }
    }
    expect(engineTable.filter((row) => row.body.is === 'stream').map((row) => row.name).sort()).toEqual([...streams].sort());
  });

  it('names operations of the catalogue, and the marks do too', () => {
    let marks = 0;
    for (const row of engineTable) {
      for (const operation of row.operations) expect([row.name, isOperation(operation)]).toEqual([row.name, true]);
      for (const mark of marksOf(row)) {
        marks += 1;
        for (const operation of mark.operations) expect([row.name, operation, isOperation(operation)]).toEqual([row.name, operation, true]);
      }
    }
    expect(marks).toBeGreaterThan(150);
    // What needs no operation is what says nothing of anybody's objects.
    expect(engineTable.filter((row) => row.operations.length === 0).map((row) => row.name)).toEqual(['GET /_ping', 'HEAD /_ping', 'GET /version', 'POST /auth']);
  });

  it('that changes something is audited, but for the size of a terminal', () => {
    const silent = engineTable.filter((row) => row.mutating && row.audit === 'never').map((row) => row.name);
    expect(silent).toEqual(['POST /containers/{id}/resize', 'POST /exec/{id}/resize']);
    const harmless = engineTable.filter((row) => !row.mutating && row.method !== 'GET' && row.method !== 'HEAD').map((row) => row.name);
    expect(harmless).toEqual(['POST /auth', 'POST /containers/{id}/wait']);
    for (const name of ['POST /containers/{id}/attach', 'GET /containers/{id}/archive', 'GET /containers/{id}/logs']) expect(rowOf(name)?.audit).toBe('policy');
  });

  it('on plugins that changes anything, and on the swarm, is for who runs the installation', () => {
    for (const row of engineTable) {
      if (!/^\/(?:plugins|swarm)/.test(row.path)) continue;
      for (const operation of row.operations) expect([row.name, operation, row.mutating ? ['system', 'admin'].includes(gradeOf(operation)) : true]).toEqual([row.name, operation, true]);
    }
    expect(rowOf('GET /swarm')?.response).toEqual({ is: 'redact', at: ['/JoinTokens'], unless: 'swarm:update' });
    expect(gradeOf(rowOf('GET /swarm/unlockkey')!.operations[0]!)).toBe('admin');
  });

  it('that lists is filtered', () => {
    const bare = engineTable.filter((row) => row.target.how === 'list' && row.response.is === 'none').map((row) => row.name);
    // A search asks a registry; an export names its images; plugins are seen by who may see them all.
    expect(bare).toEqual(['GET /images/search', 'GET /images/get', 'GET /plugins']);
    expect(engineTable.filter((row) => row.target.how === 'prune').every((row) => row.response.is === 'prune')).toBe(true);
  });

  it('judges an update of a service as its create', () => {
    const [create, update] = ['POST /services/create', 'POST /services/{id}/update'].map((name) => rowOf(name)!.body);
    expect(create).toEqual(update);
    expect(create!.is === 'json' && update!.is === 'json' && create!.shape === update!.shape).toBe(true);
  });
});
