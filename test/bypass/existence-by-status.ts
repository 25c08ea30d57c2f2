import { type Attempt, type Call, calls, container } from './book';

/** The same call for something hidden and something that does not exist, by id and by name. */
const pair = (hidden: { id: string; name: string }, nothing: { id: string; name: string },
  call: (which: string) => Call): Call[] => [call(hidden.id), call(nothing.id), call(hidden.name), call(nothing.name)];

export const attempt: Attempt = {
  title: 'learn from a refusal whether somebody has an object of that name',
  source: 'CVE-2019-19030: what was not there was refused otherwise than what was not allowed',
  alike: true,
  async try(world) {
    const nothing = { id: '0'.repeat(64), name: 'nothing' };
    const short = { id: '0'.repeat(25), name: 'nothing' };
    return calls(world, world.foreign.flatMap((things) => [
      ...['json', 'logs?stdout=1', 'top', 'changes', 'stats?stream=0', 'export',
        'archive?path=/'].flatMap((tail): Call[] => pair(things.container, nothing, (which) => ['GET', `/containers/${which}/${tail}`])),
      ...['start', 'stop', 'kill', 'pause', 'restart', 'resize?h=1&w=1', 'wait',
        'rename?name=free-name'].flatMap((tail): Call[] => pair(things.container, nothing, (which) => ['POST',
        `/containers/${which}/${tail}`])),
      ...pair(things.container, nothing, (which) => ['DELETE', `/containers/${which}?force=1`]), ...pair(things.container, nothing,
        (which) => ['POST', `/containers/${which}/exec`, { Cmd: ['id'] }]), ...pair(things.container, nothing, (which) => ['POST',
        `/containers/${which}/update`, { Memory: 1 }]),
      ...pair({ id: things.exec, name: things.exec }, nothing, (which) => ['GET', `/exec/${which}/json`]), ...pair({ id: things.exec,
        name: things.exec }, nothing, (which) => ['POST', `/exec/${which}/start`, {}]),
      ...['GET', 'DELETE'].flatMap((method) => [
        ...pair(things.network, nothing, (which) => [method, `/networks/${which}`]), ...pair({ id: things.volume, name: things.volume },
          nothing, (which) => [method, `/volumes/${which}`]), ...pair(things.service, short, (which) => [method, `/services/${which}`]),
        ...pair(things.secret, short, (which) => [method, `/secrets/${which}`]), ...pair(things.config, short, (which) => [method,
          `/configs/${which}`]),
      ]),
      ...pair({ id: things.task, name: things.task }, short, (which) => ['GET', `/tasks/${which}`]), ...pair(things.service, short,
        (which) => ['GET', `/services/${which}/logs?stdout=1`]),
      ...pair(things.container, nothing, (which) => ['POST', '/containers/create', container(world,
        { HostConfig: { NetworkMode: `container:${which}` } })]), ...pair(things.network, nothing, (which) => ['POST', '/containers/create',
        container(world, { HostConfig: { NetworkMode: which } })]),
      ...pair(things.container, nothing, (Container) => ['POST', `/networks/${world.own.network.id}/connect`, { Container }]),
    ]));
  },
};
