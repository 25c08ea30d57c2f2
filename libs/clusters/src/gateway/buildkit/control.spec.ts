import { announced, BuildAnswer, ControlError, readOrder, readReturn, readSolve, readWorkersWish, writeMade, writePong, writeWorkers, type Order, type Said } from './control';
import { readMessage, WireError, writeMessage, type Form } from './wire';

const pair = (key: string, value: string): Buffer => writeMessage([[1, key], [2, value]]);
const entry = (type: string, attrs: Readonly<Record<string, string>> = {}): Buffer => Buffer.concat([writeMessage([[1, type]]), ...Object.entries(attrs).map(([key, value]) => writeMessage([[2, pair(key, value)]]))]);
const order = (...more: [number, string | number | Buffer][]): Buffer => writeMessage([[1, 'ref'], [5, 'session'], ...more]);
const solve = (options: Readonly<Record<string, string>>, ...more: [number, string | number | Buffer][]): Buffer => writeMessage([[2, 'dockerfile.v0'], ...Object.entries(options).map(([key, value]): [number, Buffer] => [3, pair(key, value)]), ...more]);
const plain: Order = { ref: 'ref', session: 'session', output: { type: 'moby', names: ['r/a/b:1'] }, inlineCache: false };
const saidOf = (options: Readonly<Record<string, string>>): string[] => readSolve(solve(options), { ...plain, output: { type: 'moby', names: [] } }).slice(4).map(([name, value]) => `${name}=${value}`);
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ControlError || error instanceof WireError) return error.message;
    throw error;
  }
  return 'nothing is refused';
};

describe('an announcement of a build', () => {
  it('names the build, its session and its output', () => {
    const attrs = { name: 'r/a/b:1,r/a/b:2', push: 'true' };
    const twice: [number, string | Buffer][] = [[3, 'moby'], ...Object.entries(attrs).map(([key, value]): [number, Buffer] => [4, pair(key, value)]), [13, entry('moby', attrs)]];
    expect(readOrder(order(...twice))).toEqual({ ref: 'ref', session: 'session', output: { type: 'moby', names: ['r/a/b:1', 'r/a/b:2'] }, inlineCache: false });
    expect(readOrder(order([13, entry('local')])).output).toEqual({ type: 'local', names: [] });
    expect(readOrder(order([3, 'tar'])).output).toEqual({ type: 'tar', names: [] });
    expect(readOrder(order()).output).toEqual({ type: 'cacheonly', names: [] });
    expect(readOrder(order([7, pair('filename', 'x')], [9, 'network.host'], [11, 1], [8, writeMessage([[4, entry('inline')], [5, entry('registry', { ref: 'x' })]])])).inlineCache).toBe(true);
    expect([announced(order([2, 'x'])), announced(writeMessage([[2, 'x'], [1, 'ref']])), announced(Buffer.from([10])), announced(writeMessage([[1, 'a/b']]))]).toEqual(['ref', null, null, null]);
  });

  it.each<[string, Buffer, string]>([
    ['a definition', order([2, 'llb']), 'Dockerfiles alone'],
    ['a frontend', order([6, 'gateway.v0']), 'Dockerfiles alone'],
    ['inputs', order([10, pair('a', 'b')]), 'Dockerfiles alone'],
    ['a policy', order([12, 'x']), 'Policies'],
    ['a policy’s session', order([15, 'x']), 'Policies'],
    ['a session’s exporter', order([14, 1]), 'during the build'],
    ['security.insecure', order([9, 'security.insecure']), '--allow security.insecure'],
    ['two outputs', order([13, entry('moby')], [13, entry('local')]), 'one output'],
    ['outputs that differ', order([3, 'local'], [13, entry('moby')]), 'Two outputs'],
    ['outputs that differ in an option', order([3, 'moby'], [4, pair('name', 'a')], [13, entry('moby', { name: 'b' })]), 'Two outputs'],
    ['options of no output', order([4, pair('name', 'a')]), 'has options'],
    ['an image that is pushed by the engine', order([13, entry('image', { push: 'true' })]), 'The output image'],
    ['a place on the engine', order([13, entry('local', { dest: '/' })]), 'dest'],
    ['an option of an image', order([13, entry('moby', { 'dangling-name-prefix': 'x' })]), 'dangling-name-prefix'],
    ['a cache elsewhere', order([8, writeMessage([[4, entry('registry', { ref: 'x' })]])]), '--cache-to type=registry'],
    ['a cache in the old form', order([8, writeMessage([[1, 'x']])]), 'old form'],
    ['no name', writeMessage([[5, 'session']]), 'names itself'],
    ['a field that is not known', order([17, 1]), 'field 17'],
    ['a field twice', Buffer.concat([order(), order()]), 'twice'],
    ['an option twice', order([13, Buffer.concat([entry('moby', { name: 'a' }), writeMessage([[2, pair('name', 'b')]])])]), 'twice'],
    ['an option of three parts', order([7, writeMessage([[1, 'a'], [2, 'b'], [3, 'c']])]), 'field 3'],
    ['an end too early', order().subarray(0, -1), 'breaks off'],
  ])('refuses %s', (_what, message, said) => expect(refusal(() => readOrder(message))).toContain(said));
});

describe('what is to be built', () => {
  it('is said in the words of a build', () => {
    expect(readSolve(solve({ filename: 'D', 'build-arg:A': '1' }), plain)).toEqual([['version', '2'], ['remote', 'client-session'], ['session', 'session'], ['buildid', 'ref'], ['dockerfile', 'D'], ['buildargs', '{"A":"1"}'], ['t', 'r/a/b:1']]);
    expect(saidOf({ target: 'x', 'no-cache': '', 'image-resolve-mode': 'local', platform: 'linux/arm64', 'force-network-mode': 'none', 'shm-size': '64', 'cgroup-parent': '/x', contextkey: 'context', dockerfilekey: 'dockerfile', 'vcs:source': 'x' })).toEqual([
      'target=x', 'nocache=1', 'platform=linux/arm64', 'networkmode=none', 'shmsize=64', 'cgroupparent=/x']);
    expect(saidOf({ 'add-hosts': 'a=10.0.0.1,b=::1,c=192.0.2.254', ulimit: 'nofile=1:2', 'cache-from': 'r/a:1,r/b:1' })).toEqual(['extrahosts=a:10.0.0.1', 'extrahosts=b:::1', 'extrahosts=c:host-gateway', 'ulimits=[{"Name":"nofile","Soft":1,"Hard":2}]', 'cachefrom=["r/a:1","r/b:1"]']);
    expect(saidOf({ 'attest:provenance': 'mode=min,inline-only=true', 'attest:sbom': 'disabled=true' })).toEqual([]);
    expect(readSolve(solve({}, [12, entry('registry', { ref: 'r/a:1' })], [14, 1]), { ...plain, output: { type: 'tar', names: [] }, inlineCache: true }).slice(4)).toEqual([['buildargs', '{"BUILDKIT_INLINE_CACHE":"1"}'], ['cachefrom', '["r/a:1"]'], ['outputs', '[{"Type":"tar"}]']]);
  });

  it.each<[string, Buffer, string]>([
    ['a definition', solve({}, [1, 'llb']), 'Dockerfiles alone'],
    ['an image as frontend', writeMessage([[2, 'gateway.v0']]), 'BUILDKIT_SYNTAX'],
    ['no frontend', writeMessage([[5, 1]]), 'Dockerfiles alone'],
    ['inputs', solve({}, [13, pair('a', 'b')]), 'Dockerfiles alone'],
    ['policies', solve({}, [15, 'x']), 'Policies'],
    ['the last word of old clients', solve({}, [10, 1]), 'no client'],
    ['a context by address', solve({ context: 'http://x' }), 'DOCKER_BUILDKIT=0'],
    ['a further context', solve({ 'context:base': 'docker-image://x', 'frontend.caps': 'x' }), '--build-context base'],
    ['a folder that is not known', solve({ contextkey: 'dockerfile' }), 'folder dockerfile'],
    ['questions', solve({ requestid: 'frontend.lint' }), '--check'],
    ['attestations', solve({ 'attest:sbom': 'generator=x' }), '--sbom'],
    ['several platforms', solve({ platform: 'linux/amd64,linux/arm64' }), 'one platform'],
    ['stages without cache', solve({ 'no-cache': 'a' }), '--no-cache-filter'],
    ['a cache elsewhere', solve({ 'cache-imports': '[{"Type":"gha","Attrs":{}}]' }), '--cache-from type=gha'],
    ['a cache with more', solve({ 'cache-imports': '[{"Type":"registry","Attrs":{"ref":"x","y":"z"}}]' }), '--cache-from type=registry'],
    ['a cache that can’t be read', solve({ 'cache-imports': '{"a":1}' }), 'can’t be read'],
    ['what is not known', solve({ devices: 'all' }), 'devices'],
    ['what a frontend can', solve({ 'frontend.caps': 'x' }), 'not passed on'],
    ['an option twice', solve({ target: 'a' }, [3, pair('target', 'b')]), 'twice'],
    ['a limit that is none', solve({ ulimit: 'a' }), '--ulimit'],
  ])('refuses %s', (_what, message, said) => expect(refusal(() => readSolve(message, plain))).toContain(said));

  it('needs a session', () => expect(refusal(() => readSolve(solve({}), { ...plain, session: '' }))).toContain('session'));
});

it('takes back nothing but what was given', () => {
  expect(readReturn(Buffer.from([0x0a, 2, 0x1a, 0]))).toEqual({ failure: null });
  expect(readReturn(Buffer.alloc(0))).toEqual({ failure: null });
  expect(readReturn(writeMessage([[2, writeMessage([[1, 2], [2, 'why'], [3, 'more']])]]))).toEqual({ failure: 'why' });
  for (const result of [writeMessage([[1, 'ref']]), writeMessage([[3, writeMessage([[1, 'ref']])]]), writeMessage([[3, writeMessage([[2, 'llb']])]]), writeMessage([[4, 'x']]), writeMessage([[10, pair('a', 'b')]])]) expect(refusal(() => readReturn(writeMessage([[1, result]])))).toMatch(/Dockerfiles alone|not known/);
  expect(refusal(() => readWorkersWish(writeMessage([[2, 'x']])))).toContain('field 2');
});

it('says of itself what clients choose by', () => {
  const list = (bytes: Buffer, form: Form): ReturnType<typeof readMessage> => readMessage(bytes, form);
  const [worker] = list(writeWorkers({ os: 'linux', arch: 'arm64' }), { 1: { name: 'worker', is: 'bytes', repeated: true } })['worker'] as Buffer[];
  const { labels, platform } = list(worker!, { 1: { name: 'id', is: 'text' }, 2: { name: 'labels', is: 'bytes' }, 3: { name: 'platform', is: 'bytes' } }) as { labels: Buffer; platform: Buffer };
  expect([labels.toString(), platform]).toEqual([expect.stringContaining('host-gateway-ip'), writeMessage([[1, 'arm64'], [2, 'linux']])]);
  // By that label clients know engines that can do more.
  expect(labels.toString()).not.toContain('snapshotter');
  expect(writePong().toString()).toContain('return');
  expect(writePong().toString()).not.toMatch(/exec|inputs|attest/);
  expect(writeMade(null, [])).toHaveLength(0);
});

it('takes an engine’s answer apart, wherever it comes in pieces', () => {
  const id = `sha256:${'1'.repeat(64)}`;
  const lines = [{ id: 'moby.buildkit.trace', aux: 'b25l' }, { stream: 'x' }, { id: 'moby.image.id', aux: { ID: id } }, { id: 'moby.image.id', aux: { ID: 'x' } }, { error: 'wrong', errorDetail: {} }].map((line) => JSON.stringify(line)).join('\r\n');
  for (const size of [1, 7, 1_000]) {
    const answer = new BuildAnswer();
    const said: Said[] = [];
    for (let at = 0; at < lines.length; at += size) said.push(...answer.add(Buffer.from(lines.slice(at, at + size))));
    said.push(answer.end());
    expect(said.filter(({ is }) => is !== 'nothing')).toEqual([{ is: 'status', status: Buffer.from('one') }, { is: 'image', id }, { is: 'failure', message: 'wrong' }]);
  }
  const endless = new BuildAnswer();
  expect(refusal(() => [...Array(5)].forEach(() => [...endless.add(Buffer.alloc(1_000_000, 'x'))]))).toContain('without an end');
});
