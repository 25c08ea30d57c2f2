import { gzipSync } from 'node:zlib';
import { archive, type Attempt, calls, type Call } from './book';

export const attempt: Attempt = {
  title: 'show one Dockerfile to who judges and another one to the builder',
  source: 'archives name a file twice, through links, and in headers that not every reader heeds; Dockerfiles have comments, continuations and escapes',
  try(world) {
    const bad = `FROM ${world.images.hidden}\n`;
    const good = 'FROM scratch\nCOPY a /\n';
    const t = `t=${encodeURIComponent(`${world.registry}/ann/stolen:one`)}`;
    const file = (text: string): Buffer => archive([['a', 'x'], ['Dockerfile', text]]);
    const archives: [string, Buffer][] = [
      ['', archive([['Dockerfile', good], ['./Dockerfile', bad]])], ['', archive([['Dockerfile', good], ['/Dockerfile', bad]])],
      ['', archive([['Dockerfile', good], ['x/', ''], ['.//Dockerfile', bad]])], ['', archive([['a', bad], ['Dockerfile', 'a', 'symlink']])],
      ['', archive([['a', bad], ['Dockerfile', 'a', 'link']])], ['', archive([['Dockerfile', good], ['Dockerfile', bad]])],
      ['', archive([['dockerfile', bad]])], ['&dockerfile=x/D', archive([['y/D', bad], ['x', 'y', 'symlink'], ['x/D', good]])],
      ['&dockerfile=./x/../x/D', archive([['x/D', good]])], ['&dockerfile=../D', archive([['D', bad]])], ['', gzipSync(file(`FROM ${world.images.unsigned}\n`))],
      ['', archive([['Dockerfile', good], ['z', bad, 'pax:Dockerfile']])], ['', Buffer.concat([file(good), file(bad)])], ['', Buffer.alloc(1024)],
      ['', Buffer.alloc(0)], ['', file(good).subarray(0, 700)],
    ];
    const texts = [`# escape=\`\n${good}# \\\n${bad}`, `FROM scratch \\\n\n# c\n\nFROM ${world.images.hidden}`, `FR\\\nOM ${world.images.hidden}`,
      `FROM scratch\nCOPY \u00a0--from=${world.images.hidden} / /`, `FROM scratch\nCOPY --chown=1\u00a0--from=${world.images.hidden} / /`,
      `FROM scratch\nCOPY --from="${world.images.hidden}" / /`, `FROM scratch\nCOPY <<E --from=x /\nE\n${bad}`, `\ufeff${bad}`,
      `FROM scratch\r\n${bad}`, `# syntax=${world.images.hidden}\n${bad}`];
    return calls(world, [...archives.map(([more, tar]): Call => ['POST', `/build?${t}${more}`, tar]),
      ...texts.map((text): Call => ['POST', `/build?${t}`, file(text)])]);
  },
};
