import { type Attempt, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a request to the engine behind the start of an exec that runs already',
  source: 'what follows the head of a hijack goes to the engine unread; where the engine refuses it, it reads a request',
  harmless: 'an engine takes the connection over before it sees that the exec runs; what follows is input for nobody',
  async try(world) {
    const hidden = privileged(world);
    const body = '{"Detach":false,"Tty":false}';
    return each([['Connection: Upgrade', 'Upgrade: tcp'], []],
      (list) => world.send(Buffer.concat([request(`POST ${v}/exec/${world.own.exec}/start HTTP/1.1`, [`Host: ${world.address}`,
      'Content-Type: application/json', `Content-Length: ${body.length}`, ...list], body), hidden])));
  },
};
