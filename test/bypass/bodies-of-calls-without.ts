import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'send bodies with calls that have none',
  source: 'what is not expected is not looked at',
  try: (world) =>
    calls(world, [
      ['GET', '/containers/json', { all: true }], ['DELETE', `/containers/${world.own.container.id}`, { force: true }], ['POST',
        `/containers/${world.own.container.id}/restart`, { HostConfig: { Privileged: true } }], ['POST',
        `/containers/${world.own.container.id}/stop`, 'x'], ['GET', '/_ping', { a: 1 }], ['POST',
        `/containers/${world.own.container.id}/pause`, '[]'],
      ['POST', `/containers/${world.own.container.id}/kill`, '{"signal":"KILL"}'],
    ]),
};
