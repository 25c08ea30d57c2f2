import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'make the engine fetch from an address of the caller’s choice',
  source: 'CVE-2020-13788: requests from inside the network on a caller’s behalf',
  try: (world) =>
    calls(world,
      [
        ['POST', '/images/create?fromSrc=http%3A%2F%2F127.0.0.1%3A1%2Fx.tar&repo=x'], ['POST',
          '/images/create?fromImage=127.0.0.1%3A1%2Fx%2Fy&tag=latest'], ['POST',
          '/images/create?fromImage=docker.io%2Flibrary%2Falpine&tag=latest'], ['GET', '/distribution/127.0.0.1:1/x/y/json'],
        ['GET', '/images/search?term=127.0.0.1:1/x'], ['POST', '/build?remote=http%3A%2F%2F127.0.0.1%3A1%2FDockerfile'], ['POST',
          '/build?remote=git%3A%2F%2F127.0.0.1%3A1%2Fx'], ['POST', '/auth', { serveraddress: 'http://127.0.0.1:1', username: 'a',
          password: 'b' }], ['POST', '/auth', { username: 'a', password: 'b' }], ['POST', '/auth', { serveraddress: null, username: 'a',
          password: 'b' }],
        ['POST', '/images/127.0.0.1:1/x/y/push?tag=latest'], ['POST', '/swarm/join', { RemoteAddrs: ['127.0.0.1:1'],
          JoinToken: 'SWMTKN-1-x' }], ['POST', '/networks/create', { Name: 'tried', Driver: 'weave' }],
      ]),
};
