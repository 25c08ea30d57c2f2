import { archive, type Attempt, calls, type Call } from './book';

export const attempt: Attempt = {
  title: 'build from an image that may not be pulled, by any of the ways in which a Dockerfile names one',
  source: 'a builder takes what the node holds, whoever pulled it',
  try(world) {
    const { hidden, hiddenDigest, hiddenId, signed, nameless, onNode } = world.images;
    const hex = hiddenId.slice(7);
    const repository = hidden.slice(0, hidden.lastIndexOf(':'));
    const names = [hidden, `${repository}@${hiddenDigest}`, hiddenId, hex, hex.slice(0, 12), `sha256:${hex.slice(0, 12)}`, nameless, onNode,
      `${signed.slice(0, signed.lastIndexOf(':'))}@${hiddenDigest}`, `http://${hidden}`, `docker.io/library/${nameless}`];
    const files = names.flatMap((name) => [`FROM ${name}\n`, `FROM scratch\nCOPY --from=${name} / /\n`, `ARG X=${name}\nFROM $X\n`,
      `ARG X\nFROM \${X:-${name}}\n`, `FROM scratch AS a\nFROM ${name} AS b\nFROM a\n`, `FROM scratch\nONBUILD COPY --from=${name} / /\n`]);
    const t = `t=${encodeURIComponent(`${world.registry}/ann/stolen:one`)}`;
    return calls(world, [
      ...files.map((text): Call => ['POST', `/build?${t}`, archive([['Dockerfile', text]])]),
      ...names.map((name): Call => ['POST', `/build?${t}&buildargs=${encodeURIComponent(JSON.stringify({ X: name }))}`,
        archive([['Dockerfile', 'ARG X=scratch\nFROM $X\n']])]),
    ]);
  },
};
