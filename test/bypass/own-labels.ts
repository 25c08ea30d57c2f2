import { type Attempt, containerSpecs, containers, each, hostConfigs, service, v } from './book';

export const attempt: Attempt = {
  title: 'write the labels by which Gantry marks what is its own',
  source: 'a claim or seal of another object’s, copied',
  async try(world) {
    const names = ['io.gantry.claim', 'io.gantry.seal', 'io.gantry.anything', 'IO.GANTRY.collection', 'Io.Gantry.Claim',
      'io.gantry.collection.x'];
    const spoofed = names.map((name) => ({ [name]: world.foreign[1]!.container.id }));
    return [
      ...(await containers(world, spoofed.map((Labels) => ({ Labels })))),
      ...(await hostConfigs(world, spoofed.map((Labels) => ({ Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { Labels } }] })))),
        ...(await hostConfigs(world, spoofed.map((Annotations) => ({ Annotations })))),
      ...(await containerSpecs(world, [...spoofed.map((Labels) => ({ Labels })),
        { Labels: { 'io.gantry.collection': '/Shared/Private/ann' } }])),
      ...(await each(spoofed, (Labels) => world.call('POST', `${v}/services/create`, service(world, {}, { Labels })))),
        ...(await each(spoofed, (Labels) => world.call('POST', `${v}/secrets/create`, { Name: `tried-${world.count()}`, Data: 'YQ==',
        Labels }))),
    ];
  },
};
