import { type Attempt, each } from './book';

export const attempt: Attempt = {
  title: 'show one Dockerfile to who judges and another one to BuildKit',
  source: 'the client is asked for its files by the name of a folder, as often as somebody likes, and answers what it likes',
  harmless: 'the Dockerfile that was judged copies what is not there, and so makes nothing; the other one would have made an image',
  try(world) {
    const good = 'FROM scratch\nCOPY missing /\n';
    const bad = `FROM ${world.images.unsigned}\nLABEL stolen=yes\n`;
    return each([
      (folder: string, time: number) => ({ Dockerfile: folder === 'dockerfile' && time === 0 ? good : bad }),
      (folder: string) => ({ Dockerfile: folder === 'dockerfile' ? good : bad }),
      (): Record<string, string> => ({ Dockerfile: good, dockerfile: bad }),
      (): Record<string, string> => ({ dockerfile: good, 'Dockerfile/': bad, './Dockerfile': bad, '/Dockerfile': bad, DOCKERFILE: bad }),
      (folder: string): Record<string, string> => ({ Dockerfile: good, 'Dockerfile.dockerignore': folder === 'dockerfile' ? '*' : bad }),
    ], (folders) => world.build(folders));
  },
};
