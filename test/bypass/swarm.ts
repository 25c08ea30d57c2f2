import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'change the swarm itself',
  source: 'calls on the engine as a whole',
  try: (world) =>
    calls(world, [
      ['POST', '/swarm/init', { ListenAddr: '127.0.0.1:1', ForceNewCluster: true }], ['POST', '/swarm/join', { RemoteAddrs: ['127.0.0.1:1'],
        JoinToken: 'x' }], ['POST', '/swarm/leave?force=1'], ['POST', '/swarm/leave'], ['POST', '/swarm/unlock', { UnlockKey: 'x' }],
      ...['rotateWorkerToken=1', 'rotateManagerToken=1', 'rotateManagerUnlockKey=1', ''].map((query): Call => ['POST',
        `/swarm/update?version=${world.swarmVersion}&${query}`, {}]), ['POST', `/swarm/update?version=${world.swarmVersion}`,
        { CAConfig: { ExternalCAs: [{ Protocol: 'cfssl', URL: 'https://127.0.0.1:1' }] } }],
      ['POST', `/swarm/update?version=${world.swarmVersion}`, { EncryptionConfig: { AutoLockManagers: true } }],
    ]),
};
