import { type Attempt, headers, privileged, request, v } from './book';

export const attempt: Attempt = {
  title: 'expect what nobody gives, and send the body before or after it',
  source: 'one side waits for the body, the other does not',
  async try(world) {
    const hidden = privileged(world);
    return [
      ...(await headers(world, [['Expect: 100-continue', 'Content-Length: <length>'], ['Expect: 200-ok', 'Content-Length: <length>'],
        ['Expect: 100-continue, x', 'Content-Length: <length>'], ['Expect: 100-continue', 'Expect: 100-continue',
        'Content-Length: <length>']])),
      await world.send(Buffer.concat([request(`POST ${v}/containers/create HTTP/1.1`, [`Host: ${world.address}`, 'Expect: 100-continue',
        'Content-Length: 2'], '{}'), hidden])),
    ];
  },
};
