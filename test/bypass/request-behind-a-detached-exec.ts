import { eventually } from '@gantry/platform/testing';
import { type Attempt, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a request to the engine behind the start of an exec that hijacks nothing',
  source: 'an exec that is started detached answers and leaves the connection as it was',
  harmless: 'the exec is ann’s own, in her own container; what stands behind it is no request',
  async try(world) {
    const body = '{"Detach":true}';
    const made = await world.call('POST', `${v}/containers/${world.own.container.id}/exec`, { Cmd: ['/bin/true'] });
    const { Id } = JSON.parse(made.body) as { Id: string };
    const head = request(`POST ${v}/exec/${Id}/start HTTP/1.1`, [`Host: ${world.address}`, 'Content-Type: application/json',
      `Content-Length: ${body.length}`, 'Connection: Upgrade', 'Upgrade: tcp'], body);
    const started = await world.send(Buffer.concat([head, privileged(world)]));
    // Only an exec that has ended is none of its container's.
    await eventually('the exec has ended', async () => (await world.call('GET', `${v}/exec/${Id}/json`)).body.includes('"Running":false'),
      10);
    return [made, started];
  },
};
