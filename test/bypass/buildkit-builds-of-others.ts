import { type Attempt, kitBuild, proto, protoMap } from './book';

export const attempt: Attempt = {
  title: 'take part in a build, or in a session, of somebody else',
  source: 'BuildKit’s own interface knows one kind of client: who names a build may read it, end it and answer for it',
  async try(world) {
    const name = `${world.registry}/ann/stolen:one`;
    const foreign = await world.foreignSession();
    const bobs = await world.buildkit(() => kitBuild('b', foreign, name));
    const order = proto([1, 'mine'], [3, 'moby'], ...protoMap(4, { name }), [5, foreign], [13, proto([1, 'moby'], ...protoMap(2, { name }))]);
    // A build that is announced on one connection is nobody's on another one, of the same person too.
    const others = await world.buildkit(() => [
      ['Control/Solve', order], ['Control/Solve', order], ['Control/Status', proto([1, 'theirs'])], ['frontend.LLBBridge/Ping', Buffer.alloc(0), 'theirs'], ['frontend.LLBBridge/Ping', Buffer.alloc(0), foreign], ['frontend.LLBBridge/Ping', Buffer.alloc(0)],
      ['frontend.LLBBridge/Return', proto([1, proto([3, ''])]), ''], ['Control/Session', Buffer.alloc(0)], ['Control/ListenBuildHistory', proto([1, 1], [2, 'theirs'], [3, 1])], ['Control/UpdateBuildHistory', proto([1, 'theirs'], [3, 1])],
      ['Control/DiskUsage', Buffer.alloc(0)], ['Control/Prune', proto([2, 1])], ['Control/Info', Buffer.alloc(0)],
    ]);
    return [...bobs, ...others];
  },
};
