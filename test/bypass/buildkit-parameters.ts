import { type Attempt, each } from './book';

const encode = (value: unknown): string => encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value));

export const attempt: Attempt = {
  title: 'have BuildKit read, allow or send something else by its parameters',
  source: 'build arguments choose the frontend, which is any image’s program; contexts by upload and address come past the session',
  try(world) {
    const { signed, unsigned } = world.images;
    const t = `t=${encode(`${world.registry}/ann/kit:one`)}`;
    const queries = [
      ...['BUILDKIT_SYNTAX', 'BUILDKIT_CACHE_MOUNT_NS', 'BUILDKIT_MULTI_PLATFORM', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR', 'BUILDKIT_SANDBOX_HOSTNAME'].map((name) => `${t}&buildargs=${encode({ [name]: unsigned })}`),
      `${t}&remote=upload-request&buildid=x`, `${t}&buildid=upload-request:x`, `${t}&remote=${encode('https://127.0.0.1:1/x.git')}`, `${t}&remote=${encode('docker-image://alpine')}`,
      `${t}&session=`, `${t}&version=1`, `${t}&version=`, `${t}&version=3`, '', 't=kit:one', `t=${encode(signed)}`, `${t}&networkmode=host`, `${t}&networkmode=container:x`,
      `${t}&outputs=${encode([{ Type: 'image', Attrs: { name: 'x', push: 'true' } }])}`, `${t}&outputs=${encode([{ Type: 'moby', Attrs: { name: signed } }])}`, `${t}&outputs=${encode([{ Type: 'docker' }])}`,
      `outputs=${encode([{ Type: 'local' }, { Type: 'moby' }])}`, `${t}&extrahosts=${encode('a:1.1.1.1,b:2')}`, `${t}&dockerfile=${encode('../Dockerfile')}`,
    ];
    return each(queries, (query) => world.build(() => ({ Dockerfile: `FROM ${signed}\nLABEL made=yes\n` }), query));
  },
};
