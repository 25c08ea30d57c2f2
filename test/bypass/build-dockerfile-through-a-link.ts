import { archive, type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'put another Dockerfile in the place of the judged one, through a link of the context',
  source: 'a link to the context itself gives each of its files a second name, which who reads the archive does not know',
  harmless: 'the judged one is built, and fails',
  try(world) {
    // What is judged ends in an error, and what is not makes an image: there must be none afterwards.
    const bad = 'FROM scratch\nCOPY dockerfile /\n';
    const good = 'FROM scratch\nCOPY none /\n';
    const link: [string, string, string] = ['d', '.', 'symlink'];
    const through = (...names: string[]): Buffer => archive([['dockerfile', good], link, ...names.map((name): [string, string] => [name, bad])]);
    const t = `t=${encodeURIComponent(`${world.registry}/ann/stolen:one`)}`;
    return calls(world, [
      ['POST', `/build?${t}`, through('d/Dockerfile')], ['POST', `/build?${t}`, through('d/d/./Dockerfile')], ['POST', `/build?${t}&dockerfile=Dockerfile`, through('d/Dockerfile')],
      ['POST', `/build?${t}`, archive([['Dockerfile', good], link, ['dockerfile', 'x'], ['d/Dockerfile', bad]])],
    ]);
  },
};
