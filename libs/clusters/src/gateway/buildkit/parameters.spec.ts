import { queryValues } from '../query';
import { isKitBuild, kitQuery, readKitBuild } from './parameters';

const query = (more: Record<string, string | string[]> = {}): string => `?${Object.entries({ version: '2', remote: 'client-session', session: 's', t: 'a', ...more }).flatMap(([name, value]) => [value].flat().map((each) => `${name}=${encodeURIComponent(each)}`)).join('&')}`;

describe('a build by BuildKit', () => {
  it('is one by its version', () => {
    expect(isKitBuild('POST /build', query())).toBe(true);
    expect(isKitBuild('POST /build', query({ version: '1' }))).toBe(false);
    expect(isKitBuild('POST /session', query())).toBe(false);
  });

  it('says what it makes', () => {
    expect(readKitBuild(query())).toEqual({ session: 's', dockerfile: 'Dockerfile', makesImage: true, sends: false, platform: null });
    expect(readKitBuild(query({ outputs: '[{"Type":"local","Attrs":{}}]', dockerfile: 'other', platform: 'linux/arm64' }))).toEqual({ session: 's', dockerfile: 'other', makesImage: false, sends: true, platform: 'linux/arm64' });
    expect(readKitBuild(query({ outputs: '[{"Type":"cacheonly"}]' }))).toMatchObject({ makesImage: false, sends: false });
  });

  it.each<[string, Record<string, string | string[]>]>([
    ['a context by address', { remote: 'https://a/b.git' }], ['an upload', { remote: 'upload-request' }], ['no remote', { remote: '' }], ['an upload by its name', { buildid: 'upload-request:x' }], ['no session', { session: '' }],
    ['a Dockerfile elsewhere', { dockerfile: '../x' }], ['a Dockerfile in a folder', { dockerfile: 'a/b' }], ['the folder itself', { dockerfile: '..' }],
    ...['BUILDKIT_SYNTAX', 'BUILDKIT_CACHE_MOUNT_NS', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR', 'BUILDKIT_MULTI_PLATFORM', 'BUILDKIT_SANDBOX_HOSTNAME', 'BUILDKIT_', 'buildkit_syntax'].map((name): [string, Record<string, string>] => [name, { buildargs: JSON.stringify({ [name]: 'x' }) }]),
    ['two outputs', { outputs: '[{"Type":"local"},{"Type":"moby"}]' }], ['an output to a registry', { outputs: '[{"Type":"image","Attrs":{"push":"true"}}]' }], ['a name by output', { outputs: '[{"Type":"moby","Attrs":{"name":"x"}}]' }], ['an archive', { outputs: '[{"Type":"oci"}]' }],
    ['a network by name', { networkmode: 'foo' }], ['a container’s network', { networkmode: 'container:x' }], ['hosts by commas', { extrahosts: 'a:1.1.1.1,b' }], ['hosts by quotes', { extrahosts: '"a:1.1.1.1' }], ['a host without address', { extrahosts: 'a' }],
  ])('refuses %s', (_what, more) => expect(() => readKitBuild(query(more))).toThrow(expect.objectContaining({ code: expect.stringMatching(/spec-invalid|not-passed-on/) as unknown })));

  it('goes on with caches of its own account, and without what others would do', () => {
    const salt = { host: 'h', mounts: 'm', build: 'b' };
    const next = kitQuery(query({ dockerfile: 'x', pull: '1', squash: '1', cachefrom: '["hidden"]', buildid: 'mine', extrahosts: ['a:1.1.1.1'], buildargs: '{"A":"1","BUILDKIT_INLINE_CACHE":"1"}' }), salt, ['seen']);
    const of = (name: string): string[] => queryValues(next, name);
    expect([of('pull'), of('squash'), of('session'), of('dockerfile'), of('cachefrom'), of('buildid'), of('extrahosts'), of('t')]).toEqual([[], [], [], ['Dockerfile'], ['["seen"]'], ['b'], ['a:1.1.1.1', 'gantry-h:127.0.0.1'], ['a']]);
    expect(JSON.parse(of('buildargs')[0]!)).toEqual({ A: '1', BUILDKIT_INLINE_CACHE: '1', BUILDKIT_CACHE_MOUNT_NS: 'm' });
    expect(queryValues(kitQuery(query(), salt, []), 'buildid')).toEqual([]);
  });
});
