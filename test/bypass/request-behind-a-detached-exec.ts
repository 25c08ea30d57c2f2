import { type Attempt, type Reply, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a request to the engine behind the start of an exec that hijacks nothing',
  source: 'an exec that is started detached answers and leaves the connection as it was',
  harmless: 'the exec is ann’s own, in her own container; what stands behind it is no request',
  async try(world) {
    const replies: Reply[] = [];
    for (const list of [['Connection: Upgrade', 'Upgrade: tcp'], []]) {
      const made = await world.call('POST', `${v}/containers/${world.own.container.id}/exec`, { Cmd: ['/bin/true'] });
      const body = '{"Detach":true}';
      const { Id } = JSON.parse(made.body) as { Id: string };
      replies.push(made, await world.send(Buffer.concat([request(`POST ${v}/exec/${Id}/start HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json', `Content-Length: ${body.length}`, ...list], body), privileged(world)])));
    }
    return replies;
  },
};
