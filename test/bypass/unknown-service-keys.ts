import { type Attempt, calls, service } from './book';

export const attempt: Attempt = {
  title: 'add members that nobody knows to services, networks, volumes and secrets',
  source: 'what a check does not know, a newer engine may',
  try: (world) =>
    calls(world, [
      ['POST', '/services/create', service(world, { Unknown: 1 })], ['POST', '/services/create', service(world, {}, { Unknown: 1 })],
        ['POST', '/services/create', service(world, {}, { TaskTemplate: { Unknown: 1 } })], ['POST', '/services/create', service(world, {},
        { Mode: { Replicated: { Replicas: 0, Unknown: 1 } } })],
      ['POST', '/services/create', service(world, {}, { EndpointSpec: { Ports: [{ Unknown: 1 }] } })], ['POST', '/networks/create',
        { Name: 'tried-unknown', Unknown: 1 }], ['POST', '/networks/create', { Name: 'tried-unknown',
        IPAM: { Config: [{ Unknown: '1' }] } }],
      ['POST', '/volumes/create', { Name: 'tried-unknown', Unknown: 1 }], ['POST', '/volumes/create', { Name: 'tried-unknown',
        Options: { device: '/' } }], ['POST', '/secrets/create', { Name: 'tried-unknown', Data: 'YQ==', Unknown: 1 }], ['POST',
        '/configs/create', { Name: 'tried-unknown', Data: 'YQ==', Unknown: 1 }],
      ['POST', `/containers/${world.own.container.id}/exec`, { Cmd: ['id'], Unknown: 1 }],
    ]),
};
