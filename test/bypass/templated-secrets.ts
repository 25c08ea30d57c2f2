import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'make configs and secrets that the engine fills in',
  source: 'a template reads what the task may see, and a driver is a program on the host',
  try: (world) =>
    calls(world, ['/secrets/create', '/configs/create'].flatMap((path): Call[] => [
      ['POST', path, { Name: `tried-${world.count()}`, Data: 'YQ==', Templating: { Name: 'golang' } }], ['POST', path,
        { Name: `tried-${world.count()}`, Driver: { Name: 'evil' } }], ['POST', path, { Name: `tried-${world.count()}`, Data: 'YQ==',
        Templating: { Name: '', Options: { a: 'b' } } }],
    ])),
};
