import { clustersProblem } from '../../problems';
import { buildArgsOf } from '../images';
import { queryValues, withQuery } from '../query';

/** What a build by BuildKit asks for besides what every build does. */
export interface KitBuild {
  /** The client's session. */
  session: string;
  /** Name of the Dockerfile in the client's folder `dockerfile`. */
  dockerfile: string;
  /** The result goes back to the client, or nowhere, and is no image. */
  makesImage: boolean;
  sends: boolean;
  platform: string | null;
}

const hostForm = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?[:=](?:[0-9A-Fa-f.:]{2,45}|host-gateway)$/;
/** Arguments for BuildKit itself that change nothing but what is written into the image. */
const harmlessArgs = new Set(['BUILDKIT_INLINE_CACHE']);

/** Whether a build's query asks for BuildKit. */
export function isKitBuild(row: string, query: string): boolean {
  return row === 'POST /build' && queryValues(query, 'version')[0] === '2';
}

/**
 * Reads the query of a build by BuildKit. What can't be judged is refused, with what to do instead. Pure.
 * @param query in our own form
 * @throws clusters.spec-invalid, clusters.not-passed-on
 */
export function readKitBuild(query: string): KitBuild {
  const one = (name: string): string => queryValues(query, name)[0] ?? '';
  const remote = one('remote');
  if (remote !== 'client-session' || one('buildid').includes(':')) {
    throw clustersProblem('not-passed-on', {
      detail: 'A build by BuildKit takes its context from a folder of the client’s. For a context by standard input or address, build with DOCKER_BUILDKIT=0.', errors: [{ pointer: '?remote', detail: 'client-session' }],
    });
  }
  const session = one('session');
  if (session === '') throw clustersProblem('spec-invalid', { detail: 'A build by BuildKit names its session.', errors: [{ pointer: '?session', detail: 'a session that you have opened' }] });
  const dockerfile = one('dockerfile') === '' ? 'Dockerfile' : one('dockerfile');
  if (!/^[^/\\\0\n]{1,255}$/.test(dockerfile) || dockerfile === '.' || dockerfile === '..') throw clustersProblem('spec-invalid', { detail: 'BuildKit’s Dockerfile is named by its last part.', errors: [{ pointer: '?dockerfile', detail: 'a file’s name' }] });
  for (const name of Object.keys(buildArgsOf(query))) {
    if (!/^BUILDKIT_/i.test(name) || harmlessArgs.has(name)) continue;
    throw clustersProblem('not-passed-on', {
      detail: `The build argument ${name.slice(0, 100)} would tell BuildKit to read, cache or allow something else than what was judged; leave it out.`, errors: [{ pointer: `?buildargs/${name.slice(0, 100)}`, detail: 'an argument for BuildKit itself' }],
    });
  }
  for (const host of queryValues(query, 'extrahosts')) if (!hostForm.test(host)) throw clustersProblem('spec-invalid', { detail: 'A host is given as name:address.', errors: [{ pointer: '?extrahosts', detail: 'name:address' }] });
  const network = one('networkmode');
  if (!['', 'default', 'none', 'host'].includes(network)) throw clustersProblem('not-passed-on', { detail: 'BuildKit builds in the network default, none or host.', errors: [{ pointer: '?networkmode', detail: 'default, none or host' }] });
  const outputs = one('outputs') === '' ? [] : ((JSON.parse(one('outputs')) as { Type?: string; Attrs?: Record<string, string> | null }[] | null) ?? []);
  const [output] = outputs;
  const type = output?.Type ?? 'moby';
  if (outputs.length > 1 || !['moby', 'local', 'tar', 'cacheonly'].includes(type)) throw clustersProblem('not-passed-on', { detail: 'A build has one output: the image, or --output type=local or type=tar.', errors: [{ pointer: '?outputs', detail: 'local or tar' }] });
  if (Object.keys(output?.Attrs ?? {}).length > 0) throw clustersProblem('not-passed-on', { detail: 'Outputs take no options but the place on your own disk; name images with -t.', errors: [{ pointer: '?outputs/0/Attrs', detail: 'an option' }] });
  const platform = one('platform');
  return { session, dockerfile, makesImage: type === 'moby', sends: type === 'local' || type === 'tar', platform: platform === '' ? null : platform };
}

/** What keeps what one account's builds leave behind from those of others. */
export interface KitSalt {
  /** Part of the name of a host that each RUN gets to know: what another's RUN has made is then not what this one would make. */
  host: string;
  /** In front of the name of each cache that is mounted. */
  mounts: string;
  /** The engine's name of the build. */
  build: string;
}

/**
 * The query of a build by BuildKit as it goes on; the session's id comes in later. Caches are kept apart: what BuildKit calls the same build step does
 * not count the content of secrets, proxies and caches that are mounted, so another account's result of it can be a forgery. Pure.
 * @param cache names of images whose cache may be used
 */
export function kitQuery(query: string, salt: KitSalt, cache: readonly string[]): string {
  const hosts = queryValues(query, 'extrahosts');
  return withQuery(query, {
    dockerfile: 'Dockerfile', cachefrom: JSON.stringify(cache), pull: null, session: null, squash: null, buildid: queryValues(query, 'buildid')[0] ? salt.build : null,
    extrahosts: [...hosts, `gantry-${salt.host}:127.0.0.1`], buildargs: JSON.stringify({ ...buildArgsOf(query), BUILDKIT_CACHE_MOUNT_NS: salt.mounts }),
  });
}
