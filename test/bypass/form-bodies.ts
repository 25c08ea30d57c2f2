import { type Attempt, v } from './book';

export const attempt: Attempt = {
  title: 'give query parameters in a body that calls itself a form',
  source: 'Go reads parameters from forms ahead of those in the query',
  async try(world) {
    const own = world.own.container.id;
    const foreign = world.foreign[0]!;
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    return [
      await world.call('POST', `${v}/containers/${own}/rename?name=free`, `name=${foreign.container.name}`, form), await world.call('POST',
        `${v}/containers/${own}/rename`, 'name=other', form), await world.call('POST', `${v}/containers/${own}/kill`, 'signal=KILL', form),
        await world.call('POST', `${v}/containers/${own}/restart`, 't=0', form),
      await world.call('POST', `${v}/commit?container=${own}`, `container=${foreign.container.id}`, form),
      await world.call('POST', `${v}/services/${world.own.service.id}/update?version=${world.own.serviceVersion}`, 'rollback=previous',
        form), await world.call('POST', `${v}/containers/create`, `name=${foreign.container.name}`, form),
      await world.call('POST', `${v}/containers/${own}/kill`,
        '--x\r\nContent-Disposition: form-data; name="signal"\r\n\r\nKILL\r\n--x--\r\n',
        { 'Content-Type': 'multipart/form-data; boundary=x' }),
    ];
  },
};
