import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'ask for paths that no document names',
  source: 'CVE-2026-44848: what is not known fell through to the engine',
  try: (world) =>
    calls(world, [
      ['GET', '/'], ['GET', '/debug/pprof/'], ['GET', '/debug/vars'], ['GET', '/debug/pprof/heap'], ['GET', '/metrics'], ['GET',
        '/containers'], ['GET', '/containers/ps'], ['GET', `/containers/${world.foreign[0]!.container.id}`], ['POST',
        `/containers/${world.foreign[0]!.container.id}/copy`, { Resource: '/etc/passwd' }], ['GET',
        `/containers/${world.own.container.id}/checkpoints`],
      ['GET', '/images/viz'], ['GET', '/images'], ['GET', '/exec'], ['POST', '/exec'], ['GET', '/swarm/secrets'], ['GET',
        '/libpod/containers/json'], ['GET', '/builder'], ['POST', '/system/prune'], ['GET', '/system'], ['GET', '/api/v1/users'], ['GET',
        '/v2/_catalog'], ['GET', '/favicon.ico'], ['POST', '/containers/create/x'], ['GET', '/tasks/'], ['GET', '/networks/'], ['POST',
        '/networks'], ['POST', '/services'],
    ]),
};
