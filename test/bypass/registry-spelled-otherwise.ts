import { type Attempt, references } from './book';

export const attempt: Attempt = {
  title: 'spell the registry so that the engine finds it and the check does not',
  source: 'names of hosts that differ and mean the same',
  try: (world) => {
    const [host = '', port = ''] = world.registry.split(':');
    const path = world.images.unsigned.slice(world.registry.length + 1);
    return references(world, [host.toUpperCase(), `${host}.`, '127.0.0.1', 'localhost', 'LOCALHOST', '127.1', '0', '0x7f000001',
      '2130706433', '[::1]', '127.0.0.2',
      '[::ffff:127.0.0.1]'].filter((each) => each !== host).map((each) => `${each}:${port}/${path}`).concat([`${host}:0${port}/${path}`,
      `${host}/${path}`, `http://${world.registry}/${path}`, `//${world.registry}/${path}`, `user@${world.registry}/${path}`,
      `${world.registry}//${path}`, `${world.registry}:${port}/${path}`]));
  },
};
