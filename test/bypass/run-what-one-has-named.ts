import { archive, type Attempt, calls, type Reply, references, v } from './book';

export const attempt: Attempt = {
  title: 'run what one has built, committed, imported, pulled or tagged under a name of one’s own',
  source: 'a name on the node says nothing of a signature',
  async try(world) {
    const mine = `${world.registry}/ann/own`;
    const named = (tag: string): string => `repo=${encodeURIComponent(mine)}&tag=${tag}`;
    const made = await calls(world, [
      ['POST', `/images/${world.images.unsigned}/tag?${named('tagged')}`], ['POST', `/commit?container=${world.own.container.id}&${named('committed')}`, {}],
      ['POST', `/images/create?fromSrc=-&${named('imported')}`, archive([['x', 'x']])],
      ['POST', `/build?t=${encodeURIComponent(`${mine}:built`)}`, archive([['Dockerfile', 'FROM scratch\nCOPY Dockerfile /\n']])],
    ]);
    const names = ['tagged', 'committed', 'imported', 'built'].map((tag) => `${mine}:${tag}`);
    // What is not there could not run whoever asked.
    const there = await calls(world, names.map((name) => ['GET', `/images/${name}/json`] as const));
    const ids = there.map(({ body }) => (JSON.parse(body) as { Id: string }).Id);
    if ([...made, ...there].some(({ status }) => status > 201)) throw new Error(`nothing to run: ${[...made, ...there].map(({ status, body }) => `${status} ${body.slice(0, 200)}`).join('\n')}`);
    const pushed: Reply = await world.call('POST', `${v}/images/${mine}/push?tag=tagged`, undefined, { 'X-Registry-Auth': world.registryAuth });
    if (!pushed.body.includes('digest: sha256:')) throw new Error(`not pushed: ${pushed.body.slice(-300)}`);
    const replies = await references(world, [...names, ...ids, ...ids.map((id) => id.slice(7, 19)), `${mine}@${world.images.unsignedDigest}`]);
    await calls(world, names.map((name) => ['DELETE', `/images/${name}`] as const));
    return replies;
  },
};
