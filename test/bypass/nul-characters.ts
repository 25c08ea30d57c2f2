import { type Attempt, containers } from './book';

export const attempt: Attempt = {
  title: 'end strings early with NUL characters',
  source: 'languages that end strings there, and languages that do not',
  try: (world) =>
    containers(world, [{ Image: `${world.images.signed}\u0000` }, { Image: `${world.images.unsigned}\u0000@${world.images.signedDigest}` },
      { HostConfig: { Binds: ['volume\u0000/:/x'] } }, { HostConfig: { NetworkMode: 'none\u0000host' } },
      { HostConfig: { PidMode: '\u0000host' } }, { Labels: { 'io.gantry.collection\u0000': '/' } }, { Labels: { a: '\u0000' } },
      { Cmd: ['\u0000'] }, { Env: ['A=\u0000'] }]),
};
